/** `veneer hook KIND`, which engines call at a stage of a container. */
import { UsageError } from "../errors.ts";
import { logEvent } from "../report/event-log.ts";
import { reportingToLxc } from "../report/lxc-log.ts";
import { reportingToParent } from "../report/parent-stderr.ts";
import { Arguments, readGlobalOption, readRequestOption } from "../request/arguments.ts";
import { type GlobalOptions, readSettings } from "../request/config.ts";
import { isCloneHook, type LxcEnvironment } from "../request/lxc-hook.ts";
import type { RequestOptions } from "../request/root-request.ts";
import { startLargeProgram } from "../runtime/large-program.ts";
import { ignoreBrokenPipes } from "../sys/process/signals.ts";
import { quote } from "../text/quote.ts";
import { HOOK_KINDS, type HookKind } from "./kinds.ts";
import { hookLxc } from "./lxc.ts";
import { hookOci } from "./oci.ts";
import { releaseByKey } from "./poststop.ts";
import { hookPrecreate } from "./precreate.ts";

/** Runs a hook. `words` are the arguments after `hook`, `env` has LXC's variables. */
export function runHook(words: readonly string[], options: GlobalOptions, env: LxcEnvironment): void {
  ignoreBrokenPipes();
  reportingToLxc(env, () => reportingToParent(() => hook(new Arguments(words), options, env)));
}

function hook(args: Arguments, options: GlobalOptions, env: LxcEnvironment): void {
  const requested: RequestOptions = {};
  const words: string[] = [];
  let key: string | undefined;
  for (let word = args.next(); word !== undefined; word = args.next()) {
    if (!word.startsWith("-")) words.push(word);
    else if (word === "--release") key = args.value(word);
    else if ((word === "--help" || word === "-h") && args.rest().length === 0) {
      startLargeProgram();
      return;
    } else if (!readRequestOption(word, args, requested) && !readGlobalOption(word, args, options)) {
      throw new UsageError(`unknown option ${quote(word)} of hook`, "'veneer hook --help' lists them");
    }
  }
  const [kind = "oci", ...extra] = words;
  const settings = readSettings(options);
  try {
    if (key !== undefined) releaseByKey(settings, key);
    else if (isKind(kind) && (kind === "lxc" || extra.length === 0)) {
      const hooks: Readonly<Record<HookKind, () => void>> = {
        oci: () => hookOci(settings, requested),
        precreate: () => hookPrecreate(settings, requested),
        lxc: () => (isCloneHook(env, extra) ? startLargeProgram() : hookLxc(settings, requested, extra, env)),
      };
      hooks[kind]();
    } else throw new UsageError(`unknown hook ${quote(words.join(" "))}`, "'veneer hook --help' lists them");
  } catch (error) {
    logEvent(settings.config, { event: "error", engine: kind, error });
    throw error;
  }
}

function isKind(word: string): word is HookKind {
  return (HOOK_KINDS as readonly string[]).includes(word);
}
