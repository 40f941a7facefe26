/**
 * The small program: what engines call on every start. argv to command; the only catch-all and the only exit. All else
 * is the large program's, which is executed in its place.
 */

import { runSmall } from "./cli/small.ts";
import { exitStatus, formatError, UsageError } from "./errors.ts";
import { hookLxc } from "./hook/lxc.ts";
import { hookOci } from "./hook/oci.ts";
import { releaseByKey } from "./hook/poststop.ts";
import { hookPrecreate } from "./hook/precreate.ts";
import { logEvent } from "./report/event-log.ts";
import { reportingToLxc } from "./report/lxc-log.ts";
import { reportingToParent } from "./report/parent-stderr.ts";
import { Arguments, readGlobalOption, readWish } from "./request/arguments.ts";
import { type GlobalOptions, readSettings } from "./request/config.ts";
import { isCloneHook, type LxcEnvironment } from "./request/lxc-hook.ts";
import type { Wishes } from "./request/root-request.ts";
import { startLargeProgram } from "./runtime/large-program.ts";
import { releaseContainer } from "./runtime/release.ts";
import { wrapRuntime } from "./runtime/wrap.ts";
import { exit } from "./sys/process/fork.ts";
import { ignoreBrokenPipes } from "./sys/process/signals.ts";
import { warn } from "./sys/self.ts";
import { decodeName } from "./text/file-names.ts";
import { quote } from "./text/quote.ts";

/** Returns where the large program has something to say or do, which it finds in the arguments. */
function main(argv: readonly string[]): void {
  const args = new Arguments(argv);
  const options: GlobalOptions = {};
  let word = args.next();
  while (word !== undefined && readGlobalOption(word, args, options)) word = args.next();
  if (word === "hook") {
    // all that hooks read of their environment, which may be that of an image
    const env: LxcEnvironment = environment("LXC_");
    ignoreBrokenPipes();
    reportingToLxc(env, () => reportingToParent(() => hook(args, options, env)));
    exit(0);
  }
  if (word === "runtime") runtime(args.rest(), options);
  else if (word !== undefined) {
    const status = runSmall(options, word, args.rest(), environment(""));
    if (status !== undefined) exit(status);
  }
}

/** `runtime --real NAME -- ARGS...`: the wrapping runtime without its name. */
function runtime(words: readonly string[], options: GlobalOptions): void {
  const [option = "", ...rest] = words;
  const attached = option.startsWith("--real=");
  const name = attached ? option.slice("--real=".length) : rest[0];
  const behind = attached ? rest : rest.slice(1);
  if ((option !== "--real" && !attached) || !name || behind[0] !== "--") return;
  const all = host.arguments();
  wrapRuntime(name, all.slice(all.length - behind.length + 1), options);
}

function hook(args: Arguments, options: GlobalOptions, env: LxcEnvironment): void {
  const wishes: Wishes = {};
  const words: string[] = [];
  let key: string | undefined;
  for (let word = args.next(); word !== undefined; word = args.next()) {
    if (!word.startsWith("-")) words.push(word);
    else if (word === "--release") key = args.value(word);
    else if ((word === "--help" || word === "-h") && args.rest().length === 0) {
      startLargeProgram();
      return;
    } else if (!readWish(word, args, wishes) && !readGlobalOption(word, args, options)) {
      throw new UsageError(`unknown option ${quote(word)} of hook`, "'veneer hook --help' lists them");
    }
  }
  const [kind = "oci", ...extra] = words;
  const settings = readSettings(options);
  try {
    if (key !== undefined) releaseByKey(settings, key);
    else if (kind === "lxc" && isCloneHook(env, extra)) startLargeProgram();
    else if (kind === "lxc") hookLxc(settings, wishes, extra, env);
    else if (kind === "oci" && extra.length === 0) hookOci(settings, wishes);
    else if (kind === "precreate" && extra.length === 0) hookPrecreate(settings, wishes);
    else throw new UsageError(`unknown hook ${quote(words.join(" "))}`, "'veneer hook --help' lists them");
  } catch (error) {
    logEvent(settings.config, { event: "error", engine: kind, error });
    throw error;
  }
}

/** The variables whose names begin with `prefix`; of two of one name the first, as getenv(3) finds it. */
function environment(prefix: string): Readonly<Record<string, string>> {
  const variables: Record<string, string> = Object.create(null);
  for (const bytes of host.environment()) {
    const text = decodeName(bytes);
    const end = text.indexOf("=");
    const name = text.slice(0, end);
    if (end > 0 && text.startsWith(prefix)) variables[name] ??= text.slice(end + 1);
  }
  return variables;
}

/** What this process is by the name that it was called by: copies and links stand where engines call a runtime. */
function dispatch(): void {
  const [path = new Uint8Array(), ...words] = host.arguments();
  const name = decodeName(path).replace(/^.*\//s, "");
  if (isVeneer(name) || isHook(name, words)) main(words.map(decodeName));
  else if (name === "veneer-release") releaseContainer(words.map(decodeName));
  else wrapRuntime(name, words);
  startLargeProgram();
}

/** `veneer`, `veneer.new`, `veneer-0.2`; but not `veneer-runc`. */
function isVeneer(name: string): boolean {
  return /^(veneer([^a-z-].*|-[0-9].*)?)?$/s.test(name);
}

/** An engine may call a hook by any name, and no runtime has such a command. */
function isHook(name: string, words: readonly Uint8Array[]): boolean {
  if (/^(veneer-.*|runc|crun)$/s.test(name)) return false;
  const args = new Arguments(words.map(decodeName));
  let word = args.next();
  while (word !== undefined && readGlobalOption(word, args, {})) word = args.next();
  return word === "hook";
}

try {
  dispatch();
} catch (error) {
  warn(`veneer: ${formatError(error)}`);
  exit(exitStatus(error));
}
