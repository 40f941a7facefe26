/** The user namespace to which a container's root is idmapped. */
import { VeneerError, withContext } from "../errors.ts";
import { type BundleConfig, hasUserNamespace } from "../request/oci-config.ts";
import type { Store } from "../store/paths.ts";
import type { FsIds } from "../sys/credentials.ts";
import type { Fd } from "../sys/fd.ts";
import { type IdMap, isOwnUserns, openNamespace, readIdMap } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";
import { keepNamespace, openKept } from "./cache.ts";
import { makeNamespace } from "./create.ts";
import { mapName, rootOf, type UserNamespace } from "./id-map.ts";

/** The user namespace of a process; undefined when it is this process's own. */
export function usernsOfProcess(pid: number): UserNamespace | undefined {
  const path = `/proc/${pid}/ns/user`;
  if (isOwnUserns(path)) return undefined;
  return withContext("the container's user namespace", () =>
    userNamespace(openNamespace(path), readIdMap(pid)),
  );
}

/**
 * The user namespace that config.json asks for, before the container exists: the one that it names, or one with its
 * maps, which is created once and kept for later starts. `script` is the process that has unshared this mount
 * namespace, if that disappears with the container. Undefined where config.json asks for none.
 */
export function usernsOfConfig(
  store: Store,
  config: BundleConfig,
  script?: number,
): UserNamespace | undefined {
  if (!hasUserNamespace(config)) return undefined;
  const { namespaces, uidMappings, gidMappings } = config.linux ?? {};
  const path = namespaces?.find(({ type }) => type === "user")?.path;
  const uids = uidMappings ?? [];
  const gids = gidMappings ?? [];
  if (path !== undefined && path !== "") return joined(path, { uids, gids });
  for (const [key, ranges] of [
    ["uidMappings", uids],
    ["gidMappings", gids],
  ] as const) {
    if (ranges.length > 0) continue;
    throw new VeneerError(
      "NO_ID_MAP",
      `the container has a user namespace, but no linux.${key} in config.json`,
    );
  }
  return usernsOfMap(store, { uids, gids }, script);
}

/**
 * A user namespace with these maps: the kept one, or a new one, which is kept for later starts if possible. `script` is
 * as for {@link usernsOfConfig}.
 */
export function usernsOfMap(store: Store, map: IdMap, script?: number): UserNamespace {
  return withContext("user namespace for the container's maps", () =>
    userNamespace(ofMap(store, map, script), map),
  );
}

function joined(path: string, map: IdMap): UserNamespace | undefined {
  return withContext(`user namespace ${quote(path)}`, () => {
    if (isOwnUserns(path)) return undefined;
    const pid = /^\/proc\/([0-9]+)\/ns\/user$/.exec(path)?.[1];
    const known = pid === undefined ? map : readIdMap(Number(pid));
    return userNamespace(openNamespace(path), known.uids.length > 0 ? known : undefined);
  });
}

function ofMap(store: Store, map: IdMap, script?: number): Fd {
  const name = mapName(map);
  const kept = name === undefined ? undefined : openKept(store, name);
  if (kept) return kept;
  const made = makeNamespace(map);
  if (name !== undefined) keepNamespace(store, name, made, script);
  return made;
}

function userNamespace(fd: Fd, map: IdMap | undefined): UserNamespace {
  return { fd, ...(map && { map }), [Symbol.dispose]: () => fd[Symbol.dispose]() };
}

/** Like {@link rootOf}, but throws where the maps are unknown or root is not mapped. */
export function requireRoot(map: IdMap | undefined): FsIds {
  const root = map && rootOf(map);
  if (root) return root;
  throw new VeneerError("NO_ROOT_ID", "cannot tell who is root in the container's user namespace", {
    hint: "map an id for root: linux.uidMappings and linux.gidMappings with containerID 0",
  });
}
