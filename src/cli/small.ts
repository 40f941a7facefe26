/**
 * The verbs that people and scripts call in loops, as the small program runs them. All others, every help text, and what a
 * user without root must do in a user namespace first, are the large program's.
 */
import { exitStatus, formatError } from "../errors.ts";
import type { GlobalOptions } from "../request/config.ts";
import { TIMED_OUT } from "../sys/environment.ts";
import { geteuid } from "../sys/process.ts";
import { useUmask } from "../sys/self.ts";
import { runToEnd } from "../sys/spawn.ts";
import { command as exec } from "./containers/exec.ts";
import { command as logs } from "./containers/logs.ts";
import { command as run } from "./containers/run.ts";
import { command as stop } from "./containers/stop.ts";
import type { Command, Context, Environment } from "./framework/command.ts";
import { makeContext, storeHint } from "./framework/context.ts";
import { runLogged } from "./framework/logged.ts";
import { note, out } from "./framework/output.ts";
import { parseInput } from "./framework/parse.ts";
import { NOT_RECOVERED, RECOVERY_TIME, recoveryCommand } from "./framework/recovery.ts";
import { command as create } from "./instances/create.ts";
import { command as mount } from "./instances/mount-one.ts";
import { command as rm } from "./instances/rm.ts";
import { command as umount } from "./instances/umount.ts";
import { command as ls } from "./look/ls.ts";
import { command as ps } from "./look/ps.ts";

declare const VERSION: string;

const VERBS: Readonly<Record<string, Command>> = { create, mount, umount, rm, ls, ps, run, exec, stop, logs };

/** A command line's exit status; undefined where it is the large program's. */
export function runSmall(
  options: GlobalOptions,
  word: string,
  words: readonly string[],
  env: Environment,
): number | undefined {
  if (word === "--version" || word === "-V") {
    out(`veneer ${VERSION}`);
    return 0;
  }
  const verb = Object.hasOwn(VERBS, word) ? VERBS[word] : undefined;
  if (!verb) return undefined;
  useUmask();
  try {
    return runVerb(verb, options, words, env);
  } catch (error) {
    note(`veneer: ${formatError(error, storeHint(error))}`);
    return exitStatus(error);
  }
}

function runVerb(
  command: Command,
  options: GlobalOptions,
  words: readonly string[],
  env: Environment,
): number | undefined {
  const { input, help } = parseInput(command, words);
  if (help || geteuid() !== 0 || command.large?.(input)) return undefined;
  const context = makeContext(options, env);
  recoverRebases(context);
  return Number(runLogged(command, context, input));
}

/** Before anything else: the container of a rebase that was killed may still be frozen. */
function recoverRebases({ settings }: Context): void {
  const words = recoveryCommand(settings.store);
  if (words === undefined) return;
  const { status, stderr } = runToEnd(words, { limit: RECOVERY_TIME });
  if (stderr !== "") note(stderr.trimEnd());
  if (status === TIMED_OUT) note(NOT_RECOVERED);
}
