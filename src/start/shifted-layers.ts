/** How to start where the layers of a base cannot be idmapped: on shifted copies, or not at all with a clear error. */
import { VeneerError } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import type { RootRequest } from "../request/root-request.ts";
import { type BaseVersion, lockBase, readVersion } from "../store/bases.ts";
import { paths, type Store } from "../store/paths.ts";
import { programPath } from "../sys/self.ts";
import { runToEnd } from "../sys/spawn.ts";
import { lstatMaybe } from "../sys/stat.ts";
import type { IdMap, IdRange } from "../sys/user-namespace.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { mapName } from "../userns/id-map.ts";

/**
 * Makes sure that a version has shifted copies of all its layers; returns that version. Creates missing copies if the
 * request or the configuration allows it, which takes as long as copying the base. Otherwise throws `refusal` with a
 * hint.
 */
export function requireShifted(
  { store, config }: Settings,
  request: RootRequest,
  map: IdMap | undefined,
  refusal: VeneerError,
): BaseRef {
  if (!request.base || !map || mapName(map) === undefined) throw refusal;
  const { name, version, manifest } = read(store, request.base);
  const fixed = { name, version };
  if (shiftedPaths(store, manifest, map)) return fixed;
  if (!(request.shiftedCopy ?? config.shiftedCopy)) {
    throw withHint(
      refusal,
      `or let a copy with shifted owners be made, once for all containers with these ids: --shifted-copy, "shiftedCopy": true in the configuration, or '${["veneer", ...shiftWords(fixed, map)].join(" ")}'`,
    );
  }
  makeCopies(store, fixed, map);
  return fixed;
}

/** The error for a named instance: its files keep plain ids, so it needs a file system that can be idmapped. */
export function refuseNamed(refusal: VeneerError): VeneerError {
  return withHint(
    refusal,
    "with --shifted-copy only an ephemeral upper is possible: an instance keeps its ids as they are without a namespace",
  );
}

function withHint(refusal: VeneerError, alternative: string): VeneerError {
  const { code, message, cause, hint } = refusal;
  return new VeneerError(code, message, { cause, hint: `${hint}; ${alternative}` });
}

function read(store: Store, ref: BaseRef): BaseVersion {
  using _base = lockBase(store, ref);
  return readVersion(store, ref);
}

/** The trees of a version's shifted copies, top layer first; undefined where one is missing. */
export function shiftedPaths(
  store: Store,
  { layers }: BaseVersion["manifest"],
  map: IdMap,
): string[] | undefined {
  const name = mapName(map);
  const all: string[] = [];
  for (const layer of layers) {
    if (name === undefined || !("id" in layer)) return undefined;
    const path = paths.shifted(store, layer.id, name);
    if (!lstatMaybe(path)) return undefined;
    all.push(path);
  }
  return all;
}

/** Runs `veneer base shift`, because hooks do not contain the code to copy layers. */
function makeCopies(store: Store, ref: BaseRef, map: IdMap): void {
  const words = ["--root", store.root, "--run", store.run, ...shiftWords(ref, map)];
  const { status, stderr } = runToEnd([programPath(), ...words]);
  if (status === 0) return;
  const said =
    stderr
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/^veneer: /, "") ?? "";
  const [what = "", hint] = said.split("; hint: ");
  throw new VeneerError("NO_SHIFT", `copy ${formatBaseRef(ref)} with shifted owners: ${what}`, { hint });
}

function shiftWords(ref: BaseRef, { uids, gids }: IdMap): string[] {
  const words = (option: string, ranges: readonly IdRange[]) =>
    ranges.flatMap(({ containerID, hostID, size }) => [option, `${containerID}:${hostID}:${size}`]);
  return ["base", "shift", formatBaseRef(ref), ...words("--uidmap", uids), ...words("--gidmap", gids)];
}
