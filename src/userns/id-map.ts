/** Id maps of user namespaces, and names for kept namespaces. Pure. */
import type { FsIds } from "../sys/credentials.ts";
import type { Fd } from "../sys/fd.ts";
import type { IdMap, IdRange } from "../sys/user-namespace.ts";

/** An open user namespace, and its maps if known. */
export interface UserNamespace extends Disposable {
  readonly fd: Fd;
  readonly map?: IdMap;
}

/** Bytes in a name; NAME_MAX is 255 (limits.h). */
const NAME_LIMIT = 200;

/**
 * A file name for a pair of maps, which differs for different maps: `u0-100000-65536.g0-100000-65536`. Undefined for
 * maps with so many ranges that the name would be too long.
 */
export function mapName(map: IdMap): string | undefined {
  const name = `u${rangesName(map.uids)}.g${rangesName(map.gids)}`;
  return name.length > NAME_LIMIT ? undefined : name;
}

function rangesName(ranges: readonly IdRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID}-${hostID}-${size}`).join("_");
}

/** The ranges in the format of uid_map and gid_map (user_namespaces(7)): one per line. */
export function mapText(ranges: readonly IdRange[]): string {
  return ranges.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}

/** Whether an id of the namespace is mapped. */
export function hasId(ranges: readonly IdRange[], id: number): boolean {
  return hostId(ranges, id) !== undefined;
}

/** The host's id for an id of the namespace; undefined where it is not mapped. */
export function hostId(ranges: readonly IdRange[], id: number): number | undefined {
  const range = ranges.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range && range.hostID + id - range.containerID;
}

/** The host's ids for root of the namespace; undefined where root is not mapped. */
export function rootOf({ uids, gids }: IdMap): FsIds | undefined {
  const [uid, gid] = [hostId(uids, 0), hostId(gids, 0)];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** The namespace's id for an id of the host; returns an unmapped id unchanged. */
export function containerId(ranges: readonly IdRange[], id: number): number {
  const range = ranges.find(({ hostID, size }) => id >= hostID && id < hostID + size);
  return range ? range.containerID + id - range.hostID : id;
}
