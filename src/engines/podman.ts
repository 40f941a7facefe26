/** podman: a runtime with the name veneer, and the hook for containers of all other runtimes. */
import { readdirSync, readFileSync } from "node:fs";
import { parse } from "@decimalturn/toml-patch";
import { VeneerError } from "../errors.ts";
import { MINIMAL_ENVIRONMENT } from "../sys/environment.ts";
import { type EngineSetup, ownFile, type SetupRequest } from "./engine.ts";
import { notUnderstood } from "./not-understood.ts";

const DROP_IN = "veneer.conf";
/** The default in containers.conf(5), which lacks the directory in /etc that oci-hooks(5) mentions. */
const DEFAULT_HOOKS = ["/usr/share/containers/oci/hooks.d"];

/**
 * The OCI hook configuration (oci-hooks(5)). It matches our annotations, so that other containers do not run the hook.
 */
function hooksFile({ bin, user = [] }: SetupRequest): string {
  const hook = { path: `${bin}/veneer`, args: ["veneer", ...user, "hook", "oci"], env: MINIMAL_ENVIRONMENT };
  const when = { annotations: { "^run\\.veneer\\.(base|instance)$": ".*" } };
  const stages = ["createRuntime", "poststop"];
  return `${JSON.stringify({ version: "1.0.0", hook, when, stages }, undefined, 2)}\n`;
}

/**
 * The drop-in. A list in one of podman's files replaces the list of earlier files, so ours repeats what they name.
 * Throws when a later file would drop our directory.
 */
function dropIn({ etc, bin, user }: SetupRequest): string {
  const own = `${etc}/containers/oci/hooks.d`;
  const drops = `${etc}/containers/containers.conf.d`;
  const others = entries(drops).filter((name) => name.endsWith(".conf") && name !== DROP_IN);
  const late = others.filter((name) => name > DROP_IN).map((name) => `${drops}/${name}`);
  for (const path of late) {
    const list = hooksIn(path);
    if (list === undefined || list.includes(own)) continue;
    throw new VeneerError("OVERRIDDEN", `${path} sets hooks_dir and is read after ${DROP_IN}`, {
      hint: `add "${own}" to its hooks_dir`,
    });
  }
  const early = others.filter((name) => name < DROP_IN).map((name) => `${drops}/${name}`);
  const files = [...(user ? filesOfRoot() : []), `${etc}/containers/containers.conf`, ...early];
  const known = files.map(hooksIn).findLast((list) => list !== undefined) ?? DEFAULT_HOOKS;
  const list = [...new Set([...known, own])].map((path) => JSON.stringify(path)).join(", ");
  return `# podman --runtime veneer, and the hook for containers of any other runtime
[engine]
hooks_dir = [${list}]

[engine.runtimes]
veneer = ["${bin}/veneer-runc"]
`;
}

/** The files that podman reads before those of a user. */
function filesOfRoot(): string[] {
  const drops = "/etc/containers/containers.conf.d";
  const dropped = entries(drops).filter((name) => name.endsWith(".conf"));
  return ["/etc/containers/containers.conf", ...dropped.map((name) => `${drops}/${name}`)];
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

/** The hooks_dir in a file; undefined when there is none. */
function hooksIn(path: string): string[] | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
  let document: { engine?: { hooks_dir?: unknown } };
  try {
    document = parse(text) as typeof document;
  } catch (error) {
    throw notUnderstood(path, error instanceof Error ? (error.message.split("\n")[0] ?? "") : "parse error");
  }
  const list = document.engine?.hooks_dir;
  if (list === undefined) return undefined;
  if (Array.isArray(list)) return list.filter((item) => typeof item === "string");
  throw notUnderstood(path, "engine.hooks_dir is not a list");
}

export const podman: EngineSetup = {
  name: "podman",
  changes: (request) => [
    {
      path: `${request.etc}/containers/containers.conf.d/${DROP_IN}`,
      add: () => dropIn(request),
      remove: () => undefined,
    },
    ownFile(`${request.etc}/containers/oci/hooks.d/veneer.json`, hooksFile(request)),
  ],
  restart: "nothing to restart: podman reads its configuration at each call",
  use: "podman run --annotation run.veneer.base=NAME IMAGE",
};
