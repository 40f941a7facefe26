/** Shared by `setup` and `unsetup`. */

import { dirname } from "node:path";
import { cdi, type HookProgram } from "../../engines/cdi.ts";
import type { EngineSetup, SetupRequest } from "../../engines/engine.ts";
import { ENGINES } from "../../engines/list.ts";
import { checkLxcName, type LxcContainer, lxcPath } from "../../engines/lxc-container.ts";
import { nri } from "../../engines/nri.ts";
import { checkMachineName } from "../../engines/nspawn.ts";
import { updates } from "../../engines/updates.ts";
import { UsageError } from "../../errors.ts";
import { policyDirectory } from "../../inventory/policy.ts";
import { pathsOfEnvironment } from "../../request/default-paths.ts";
import { programPath } from "../../sys/self.ts";
import { lstatMaybe } from "../../sys/stat.ts";
import { nearest } from "../../text/did-you-mean.ts";
import { quote } from "../../text/quote.ts";
import type { Context, Input, Operand, Option } from "../framework/command.ts";

const names = ["lxc", "lxd", "incus", "nspawn", "cdi", "nri", ...ENGINES.map(({ name }) => name), "updates"];

export const SETUP_OPERANDS: readonly Operand[] = [
  { name: "ENGINE", complete: names },
  { name: "NAME", optional: true, complete: "lxc" },
];

export const SETUP_OPTIONS: readonly Option[] = [
  { name: "--dry-run", help: "print what would change, as a diff, and change nothing" },
  {
    name: "--etc",
    value: "DIR",
    help: "where the engine's configuration is (default /etc, of a user ~/.config)",
    complete: "directory",
  },
];

export const LXCPATH_OPTION: Option = {
  name: "--lxcpath",
  value: "DIR",
  help: "lxc: the directory of the containers (default: LXC's own)",
  complete: "directory",
};

/** The engines whose files depend on the store or the configuration. */
function ownEngine(context: Context, word: string): EngineSetup | undefined {
  if (word === "cdi") return cdi(context.settings.store, hookProgram(context));
  if (word === "nri") return nri(hookGlobals(context));
  if (word === "updates") return updates(policyDirectory(context.configFile), hookGlobals(context));
  return undefined;
}

/** The engine that the first operand names, except lxc. */
export function engineOf(context: Context, input: Input): EngineSetup {
  const word = input.operands[0] as string;
  const engine = ownEngine(context, word) ?? ENGINES.find(({ name }) => name === word);
  if (engine) {
    if (input.operands[1] === undefined) return engine;
    throw new UsageError(`${word} has no containers to set up one by one`, "give the engine alone");
  }
  const near = nearest(word, names);
  const hint = near === undefined ? `known are ${names.join(", ")}` : `did you mean ${near}?`;
  throw new UsageError(`unknown engine ${quote(word)}`, hint);
}

/** Where the files of an engine go. Throws UsageError for an engine that only root can set up, and an invalid --etc. */
export function setupRequest(context: Context, input: Input): SetupRequest {
  const { user, env } = context;
  if (user !== undefined && input.operands[0] !== "podman") {
    throw new UsageError(`${quote(input.operands[0] ?? "")} is set up by root`, "a user sets up podman");
  }
  const home = user === undefined ? "/etc" : dirname(dirname(pathsOfEnvironment(user, env).config));
  const etc = input.value("--etc") ?? home;
  if (!etc.startsWith("/")) throw new UsageError(`--etc ${quote(etc)} is not an absolute path`);
  return {
    etc: etc.replace(/\/+$/, ""),
    bin: programDirectory(),
    ...(user !== undefined && { user: hookGlobals(context) }),
  };
}

/**
 * The directory of the program and the wrapping runtimes: the one in the usual PATH that links to them, if there is
 * one.
 */
function programDirectory(): string {
  const own = programPath().slice(0, programPath().lastIndexOf("/"));
  const linked = ["/usr/bin", "/usr/local/bin"].find((dir) => {
    const program = lstatMaybe(`${dir}/veneer-runc`);
    return program !== undefined && own === `${dir.slice(0, -"bin".length)}lib/veneer`;
  });
  return linked ?? own;
}

/** The container that is named; undefined when none is. */
export function lxcContainerOf(
  input: Input,
  name: string | undefined,
  etc = "/etc",
): LxcContainer | undefined {
  const given = input.value("--lxcpath");
  if (given !== undefined && !given.startsWith("/")) {
    throw new UsageError(`--lxcpath ${quote(given)} is not an absolute path`);
  }
  if (name === undefined) return undefined;
  const path = (given ?? lxcPath(etc)).replace(/\/+$/, "");
  return { name: checkLxcName(name), path };
}

/** The systemd-nspawn machine that is named. */
export function machineOf(input: Input): string {
  const name = input.operands[1];
  if (name !== undefined) return checkMachineName(name);
  throw new UsageError("nspawn needs the NAME of a machine", "'veneer setup nspawn NAME --base BASE'");
}

/** How to call a hook for the store of this call. */
export function hookProgram(context: Context): HookProgram {
  return { path: `${programDirectory()}/veneer`, globals: hookGlobals(context) };
}

/** The options before the command that a hook needs to find the store of this call. */
export function hookGlobals({ settings, origins, handedConfig, user }: Context): string[] {
  const words: string[] = handedConfig === "" ? [] : ["--config", handedConfig];
  if (origins.root !== undefined || user !== undefined) words.push("--root", settings.store.root);
  if (origins.run !== undefined || user !== undefined) words.push("--run", settings.store.run);
  return words;
}
