/** Makes the context of a command from the options before it and the caller's environment. */
import { causes, UsageError } from "../../errors.ts";
import { type GlobalOptions, readSettings } from "../../request/config.ts";
import { actingUser, homeOf, pathsOfEnvironment, ROOT_PATHS } from "../../request/default-paths.ts";
import { SysError } from "../../sys/errno.ts";
import { explainStore } from "../../sys/explain.ts";
import { geteuid } from "../../sys/process.ts";
import { lstatMaybe } from "../../sys/stat.ts";
import { quote } from "../../text/quote.ts";
import type { Context, Environment } from "./command.ts";
import { isTerminal, note, out, STANDARD_OUTPUT } from "./output.ts";
import { NAMESPACE_MARK } from "./transient-mount.ts";

/** A hint for a failed system call on the store, by its errno; undefined when there is none. */
export function storeHint(error: unknown): string | undefined {
  for (const frame of causes(error)) {
    // ENOSPC on standard output does not mean that the store is full
    const isStore = frame instanceof SysError && frame.object !== STANDARD_OUTPUT;
    const hint = isStore ? explainStore(frame.code) : undefined;
    if (hint !== undefined) return hint;
  }
  return undefined;
}

/** Reads the settings. People may name the store in the environment; hooks never read it from there. */
export function makeContext(options: GlobalOptions, env: Environment): Context {
  const withEnvironment: GlobalOptions = { ...options };
  const origins: Record<string, string> = {};
  const user = personWithoutRoot(env);
  const defaults = user === undefined ? ROOT_PATHS : pathsOfEnvironment(user, env);
  for (const [key, name] of [
    ["root", "VENEER_ROOT"],
    ["run", "VENEER_RUN"],
  ] as const) {
    if (options[key] === undefined) withEnvironment[key] = absolute(name, env[name]);
    if (withEnvironment[key] !== undefined) origins[key] = options[key] === undefined ? name : `--${key}`;
  }
  const settings = readSettings(withEnvironment, defaults);
  if (user !== undefined) {
    if (env.XDG_DATA_HOME && settings.store.root === defaults.root) origins.root ??= "XDG_DATA_HOME";
    if (env.XDG_RUNTIME_DIR && settings.store.run === defaults.run) origins.run ??= "XDG_RUNTIME_DIR";
  }
  const found = user !== undefined && lstatMaybe(defaults.config) ? defaults.config : "";
  return {
    settings,
    origins,
    configFile: options.config ?? defaults.config,
    handedConfig: options.config ?? found,
    defaultRun: settings.store.run === defaults.run,
    user,
    env,
    out,
    note,
    progress: isTerminal(2),
  };
}

/** The uid of a user without root: our own, or that of the user for whom we or podman created the user namespace. */
function personWithoutRoot(env: Environment): number | undefined {
  const uid = actingUser();
  if (uid === undefined || geteuid() !== 0) return uid;
  return env[NAMESPACE_MARK] !== undefined || homeOf(uid) !== undefined ? uid : undefined;
}

function absolute(name: string, value: string | undefined): string | undefined {
  if (value === undefined || value === "") return undefined;
  if (!value.startsWith("/")) throw new UsageError(`${name}=${quote(value)} is not an absolute path`);
  return value.replace(/\/+$/, "") || "/";
}
