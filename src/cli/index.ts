/** The command line for people: everything but what engines call. */
import { causes, exitStatus, formatError, UsageError, VeneerError } from "../errors.ts";
import { type GlobalOptions, readSettings } from "../request/config.ts";
import { actingUser, homeOf, placesOfEnvironment, ROOT_PLACES } from "../request/default-paths.ts";
import { SysError } from "../sys/errno.ts";
import { explainStore } from "../sys/explain.ts";
import { geteuid } from "../sys/process.ts";
import { programPath } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { nearest } from "../text/did-you-mean.ts";
import { quote } from "../text/quote.ts";
import type { Context } from "./framework/command.ts";
import { isTerminal, note, out } from "./framework/output.ts";
import { parseInput } from "./framework/parse.ts";
import { NAMESPACE_MARK } from "./framework/transient-mount.ts";
import { findVerb, isGroup, verbNames } from "./framework/verbs.ts";

declare const VERSION: string;

/** Runs a command and sets the exit status. */
export async function run(
  options: GlobalOptions,
  word: string | undefined,
  words: readonly string[],
): Promise<void> {
  try {
    process.exitCode = await dispatch(options, word, words);
  } catch (error) {
    note(`veneer: ${formatError(error)}${storeHint(error)}`);
    process.exitCode = exitStatus(error);
  }
}

/** What the errno of a failed system call means for the store, where nobody has said more. */
function storeHint(error: unknown): string {
  for (const frame of causes(error)) {
    if ((frame instanceof VeneerError || frame instanceof UsageError) && frame.hint !== undefined) return "";
    const hint = frame instanceof SysError ? explainStore(frame.code) : undefined;
    if (hint !== undefined) return `; hint: ${hint}`;
  }
  return "";
}

async function dispatch(
  options: GlobalOptions,
  word: string | undefined,
  words: readonly string[],
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
  const context = makeContext(options);
  if (!command.outside && geteuid() !== 0) return again(context, command.joins?.(context, input));
  await recoverMoving(context, command.name);
  const status = (await command.run(context, input)) ?? 0;
  if (status === 0 && context.user === undefined) {
    if (command.publishes) await shareAgain(context);
    if (command.publishes || command.name.startsWith("base ")) await devicesAgain(context);
  }
  return status;
}

/** What is shared with users follows the base. A failure leaves what they had, and the command is done all the same. */
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

/** Devices of CDI follow the bases that there are. A failure leaves those of before. */
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

/** The same command line once more, as root of a user namespace: a new one, or that of a process. */
async function again(context: Context, join: number | undefined): Promise<number> {
  const { requireRunDirectory } = await import("../process/account.ts");
  const { runInside } = await import("./framework/user-namespace.ts");
  requireRunDirectory(context.settings.store.run, context.defaultRun, context.env);
  return runInside(programPath(), process.argv.slice(2), context.env, "command", join);
}

/** A container whose live rebase was killed may stand still: whoever comes first lets it go on. */
async function recoverMoving(context: Context, name: string): Promise<void> {
  const { store } = context.settings;
  if (name.startsWith("internal ") || !lstatMaybe(`${store.run}/moving`)) return;
  const { recoverAll, recoveredLine } = await import("../live/recover.ts");
  recoverAll(
    store,
    (moving, result) => note(recoveredLine(moving, result)),
    (error) => note(`veneer: ${formatError(error)}`),
  );
}

/** The longest verb that the words begin with, and what follows it. */
function findCommand(words: readonly string[]) {
  for (const length of [2, 1]) {
    const load = findVerb(words.slice(0, length).join(" "));
    if (load) return [load, words.slice(length)] as const;
  }
  const [first = ""] = words;
  const group = isGroup(first);
  const both = words.slice(0, 2).join(" ");
  // what follows a word that is no group is an operand
  const unknown = group ? both : first;
  const near = nearest(both, verbNames()) ?? (group ? undefined : nearest(first, verbNames()));
  const list = `'veneer ${group ? `${first} ` : ""}--help' lists the commands`;
  throw new UsageError(
    `unknown command ${quote(unknown)}`,
    near === undefined ? list : `did you mean 'veneer ${near}'?`,
  );
}

/** The environment names the store for people; hooks never read it. */
function makeContext(options: GlobalOptions): Context {
  const { env } = process;
  const withEnvironment: GlobalOptions = { ...options };
  const origins: Record<string, string> = {};
  const user = personWithoutRoot(env);
  const places = user === undefined ? ROOT_PLACES : placesOfEnvironment(user, env);
  for (const [key, name] of [
    ["root", "VENEER_ROOT"],
    ["run", "VENEER_RUN"],
  ] as const) {
    if (options[key] === undefined) withEnvironment[key] = absolute(name, env[name]);
    if (withEnvironment[key] !== undefined) origins[key] = options[key] === undefined ? name : `--${key}`;
  }
  const settings = readSettings(withEnvironment, places);
  if (user !== undefined) {
    if (env.XDG_DATA_HOME && settings.store.root === places.root) origins.root ??= "XDG_DATA_HOME";
    if (env.XDG_RUNTIME_DIR && settings.store.run === places.run) origins.run ??= "XDG_RUNTIME_DIR";
  }
  const found = user !== undefined && lstatMaybe(places.config) ? places.config : "";
  return {
    settings,
    origins,
    configFile: options.config ?? places.config,
    handedConfig: options.config ?? found,
    defaultRun: settings.store.run === places.run,
    user,
    env,
    out,
    note,
    progress: isTerminal(2),
  };
}

/** A uid that is not root's: our own, or who is root in a user namespace that we or podman made for a user. */
function personWithoutRoot(env: NodeJS.ProcessEnv): number | undefined {
  const uid = actingUser();
  if (uid === undefined || geteuid() !== 0) return uid;
  return env[NAMESPACE_MARK] !== undefined || homeOf(uid) !== undefined ? uid : undefined;
}

function absolute(name: string, value: string | undefined): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (!value.startsWith("/")) throw new UsageError(`${name}=${quote(value)} is not an absolute path`);
  return value.replace(/\/+$/, "") || "/";
}
