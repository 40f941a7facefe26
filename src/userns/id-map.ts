/** Maps of user namespaces, and names for kept ones. Pure. */
import type { FsIds } from "../sys/credentials.ts";
import type { Fd } from "../sys/fd.ts";
import type { IdMap, IdRange } from "../sys/user-namespace.ts";

/** A user namespace, open, and its maps where they are known. */
export interface UserNamespace extends Disposable {
  readonly fd: Fd;
  readonly map?: IdMap;
}

/** NAME_MAX is 255 bytes (limits.h). */
const NAME_LIMIT = 200;

/**
 * A file name for a pair of maps, the same for the same maps alone: `u0-100000-65536.g0-100000-65536`. Undefined
 * for maps of so many ranges that the name would be too long.
 */
export function mapName(map: IdMap): string | undefined {
  const name = `u${rangesName(map.uids)}.g${rangesName(map.gids)}`;
  return name.length > NAME_LIMIT ? undefined : name;
}

function rangesName(ranges: readonly IdRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID}-${hostID}-${size}`).join("_");
}

/** As uid_map and gid_map take it (user_namespaces(7)): one range a line. */
export function mapText(ranges: readonly IdRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}

/** Whether the namespace has an id. */
export function hasId(ranges: readonly IdRange[], id: number): boolean {
  return hostId(ranges, id) !== undefined;
}

/** The id that the host has for one of the namespace's; undefined where the map has none. */
export function hostId(ranges: readonly IdRange[], id: number): number | undefined {
  const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range && range.hostID + id - range.containerID;
}

/** The namespace's root as the host counts; undefined where the maps have none. */
export function rootOf({ uids, gids }: IdMap): FsIds | undefined {
  const [uid, gid] = [hostId(uids, 0), hostId(gids, 0)];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** The namespace's id for one of the host's; one that is not mapped stays what it is: nobody's. */
export function containerId(ranges: readonly IdRange[], id: number): number {
  const range = ranges.find(({ hostID, size }) => id >= hostID && id < hostID + size);
  return range ? range.containerID + id - range.hostID : id;
}
