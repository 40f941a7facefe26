/**
 * Runs the commands that people and scripts call in loops, in the small program. All other commands, help texts, and
 * commands for which a user without root needs a user namespace are left to the large program.
 */
import { exitStatus, formatError } from "../errors.ts";
import type { GlobalOptions } from "../request/config.ts";
import { refuseForeign } from "../store/paths.ts";
import { TIMED_OUT } from "../sys/environment.ts";
import { geteuid } from "../sys/process.ts";
import { useUmask } from "../sys/self.ts";
import { runToEnd } from "../sys/spawn.ts";
import { command as exec } from "./containers/exec.ts";
import { command as logs } from "./containers/logs.ts";
import { command as run } from "./containers/run.ts";
import { command as stop } from "./containers/stop.ts";
import { command as nri } from "./engines/nri.ts";
import type { Command, Context, Environment } from "./framework/command.ts";
import { makeContext, storeHint } from "./framework/context.ts";
import { runLogged } from "./framework/logged.ts";
import { note, out } from "./framework/output.ts";
import { parseInput } from "./framework/parse.ts";
import { NOT_RECOVERED, RECOVERY_TIME, recoveryCommand } from "./framework/recovery.ts";
import { SMALL_VERBS } from "./framework/small-verbs.ts";
import { command as create } from "./instances/create.ts";
import { command as mount } from "./instances/mount-one.ts";
import { command as rm } from "./instances/rm.ts";
import { command as umount } from "./instances/umount.ts";
import { command as ls } from "./look/ls.ts";
import { command as ps } from "./look/ps.ts";

declare const VERSION: string;

const VERBS: Readonly<Record<(typeof SMALL_VERBS)[number], Command>> = {
  create,
  mount,
  umount,
  rm,
  ls,
  ps,
  run,
  exec,
  stop,
  logs,
  nri,
};

/** Runs a command line and returns its exit status; undefined when the large program must run it. */
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
  const name = SMALL_VERBS.find((one) => one === word);
  if (name === undefined) return undefined;
  useUmask();
  try {
    return runVerb(VERBS[name], options, words, env);
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
  if (!command.outside) refuseForeign(context.settings.store);
  recoverRebases(context);
  return Number(runLogged(command, context, input));
}

/** Recovers from killed rebases before anything else, because their containers may still be frozen. */
function recoverRebases({ settings }: Context): void {
  const words = recoveryCommand(settings.store);
  if (words === undefined) return;
  const { status, stderr } = runToEnd(words, { limit: RECOVERY_TIME });
  if (stderr !== "") note(stderr.trimEnd());
  if (status === TIMED_OUT) note(NOT_RECOVERED);
}
