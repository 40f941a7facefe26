/** The command line for people: everything except what engines call. */
import { exitStatus, formatError, UsageError } from "../errors.ts";
import type { GlobalOptions } from "../request/config.ts";
import { refuseForeign } from "../store/paths.ts";
import { MINIMAL_PATH } from "../sys/environment.ts";
import { geteuid } from "../sys/process.ts";
import { programPath } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { nearest } from "../text/did-you-mean.ts";
import { quote } from "../text/quote.ts";
import type { Context, Environment } from "./framework/command.ts";
import { makeContext, storeHint } from "./framework/context.ts";
import { runLogged } from "./framework/logged.ts";
import { note, out } from "./framework/output.ts";
import { parseInput } from "./framework/parse.ts";
import { NOT_RECOVERED, RECOVERY_TIME, recoveryCommand } from "./framework/recovery.ts";
import { findVerb, isGroup, verbNames } from "./framework/verbs.ts";

declare const VERSION: string;

/** Runs a command and sets the exit status. */
export async function run(
  options: GlobalOptions,
  word: string | undefined,
  words: readonly string[],
  env: Environment,
): Promise<void> {
  try {
    process.exitCode = await dispatch(options, word, words, env);
  } catch (error) {
    note(`veneer: ${formatError(error, storeHint(error))}`);
    process.exitCode = exitStatus(error);
  }
}

async function dispatch(
  options: GlobalOptions,
  word: string | undefined,
  words: readonly string[],
  env: Environment,
): Promise<number> {
  if (word === "--version" || word === "-V") {
    out(`veneer ${VERSION}`);
    return 0;
  }
  if (word === undefined || word === "--help" || word === "-h" || (word === "help" && words.length === 0)) {
    const { generalHelp } = await import("./framework/help.ts");
    const text = await generalHelp(VERSION);
    if (word !== undefined) out(text);
    else note(text);
    return word === undefined ? 2 : 0;
  }
  const asked = word === "help" ? words : [word, ...words];
  const [group = "", verb] = asked;
  if ((verb === undefined || verb === "--help" || verb === "-h") && isGroup(group)) {
    const { groupHelp } = await import("./framework/help.ts");
    const wanted = word === "help" || verb !== undefined;
    (wanted ? out : note)(await groupHelp(group));
    return wanted ? 0 : 2;
  }
  const [load, rest] = findCommand(asked);
  const { command } = await load();
  const { input, help } = word === "help" ? { help: true } : parseInput(command, rest);
  if (help || input === undefined) {
    const { commandHelp } = await import("./framework/help.ts");
    out(commandHelp(command));
    return 0;
  }
  const context = makeContext(options, env);
  if (!command.outside) refuseForeign(context.settings.store);
  if (!command.outside && geteuid() !== 0) return again(context, command.joins?.(context, input));
  if (!command.name.startsWith("internal ")) await recoverRebases(context);
  const status = await runLogged(command, context, input);
  if (status === 0 && context.user === undefined) {
    if (command.publishes) await shareAgain(context);
    if (command.publishes || command.name.startsWith("base ")) await devicesAgain(context);
  }
  return status;
}

/** Updates shares with users after a base has changed. A failure leaves them as they were, and the command succeeds. */
async function shareAgain(context: Context): Promise<void> {
  const { allShares } = await import("../store/shares.ts");
  if (allShares(context.settings.store).next().done) return;
  const { refreshAllShares } = await import("./bases/refresh-shares.ts");
  try {
    await refreshAllShares(context);
  } catch (error) {
    context.note(
      `veneer: users have the earlier version: ${formatError(error)}; hint: 'veneer mount --all' tries again`,
    );
  }
}

/** Updates the CDI devices to the present bases. A failure leaves them as they were. */
async function devicesAgain(context: Context): Promise<void> {
  const { store } = context.settings;
  if (!lstatMaybe(`${store.root}/setup/cdi.json`)) return;
  const { refreshDevices } = await import("../engines/cdi.ts");
  const { hookProgram } = await import("./engines/setup-common.ts");
  try {
    refreshDevices(store, hookProgram(context));
  } catch (error) {
    context.note(
      `veneer: devices of CDI are those of before: ${formatError(error)}; hint: 'veneer setup cdi'`,
    );
  }
}

/** Runs the same command line again as root of a user namespace: a new one, or that of process `join`. */
async function again(context: Context, join: number | undefined): Promise<number> {
  const { requireRunDirectory } = await import("../process/account.ts");
  const { runInside } = await import("./framework/user-namespace.ts");
  requireRunDirectory(context.settings.store.run, context.defaultRun, context.env);
  return runInside(programPath(), process.argv.slice(2), context.env, "command", join);
}

/** Recovers from killed rebases before anything else, because their containers may still be frozen. */
async function recoverRebases({ settings }: Context): Promise<void> {
  const words = recoveryCommand(settings.store);
  if (words === undefined) return;
  const child = Bun.spawn([...words], {
    cwd: "/",
    env: { PATH: MINIMAL_PATH },
    stdio: ["ignore", "ignore", "inherit"],
  });
  await Promise.race([child.exited, Bun.sleep(RECOVERY_TIME)]);
  if (child.exitCode !== null || child.signalCode !== null) return;
  // do not wait for it: it may be blocked in the kernel, where signals do not reach it
  child.kill("SIGKILL");
  child.unref();
  note(NOT_RECOVERED);
}

/** Finds the longest command that the words begin with, and what follows it. */
function findCommand(words: readonly string[]) {
  for (const length of [2, 1]) {
    const load = findVerb(words.slice(0, length).join(" "));
    if (load) return [load, words.slice(length)] as const;
  }
  const [first = ""] = words;
  const group = isGroup(first);
  const both = words.slice(0, 2).join(" ");
  // after a word that is not a group, the next word is an operand
  const unknown = group ? both : first;
  const near = nearest(both, verbNames()) ?? (group ? undefined : nearest(first, verbNames()));
  const list = `'veneer ${group ? `${first} ` : ""}--help' lists the commands`;
  throw new UsageError(
    `unknown command ${quote(unknown)}`,
    near === undefined ? list : `did you mean 'veneer ${near}'?`,
  );
}
