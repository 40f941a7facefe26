/** An instance has one overlay at a time: what refuses a second one, and names the holder. */
import { VeneerError } from "../errors.ts";
import { waitUntilFree } from "../store/mounts/in-use.ts";
import { isLive } from "../store/mounts/liveness.ts";
import type { Keeper } from "../store/mounts/mount-copies.ts";

import type { Store } from "../store/paths.ts";
import { findHolder, type UseRecord } from "../store/records.ts";
import { openatMaybe } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../sys/flags.ts";
import { listFd } from "../sys/stat.ts";
import { displayName } from "../text/names.ts";
import { dropDanglingHolder, reclaim } from "./release.ts";

/**
 * Refuses an instance that something live holds, and clears what a dead holder left. The caller holds the
 * instance's lock, so no other start is between its check and its mount.
 */
export function refuseHeld(store: Store, id: string): void {
  const holder = findHolder(store, id);
  if (!holder) dropDanglingHolder(store, id);
  else if (isLive(holder)) throw heldBy(id, holder);
  else reclaim(store, holder);
}

/**
 * Refuses a generation (the directories of its parts) that is mounted without a record here: by another --run,
 * or after records were lost; or to which a root from before a live rebase still writes. A runtime that has run its
 * poststop hooks is given the time to end, and its mount namespace with it. One that was never mounted is told by
 * its empty work directory, in which overlayfs makes `work` at the first mount: asking the kernel takes a
 * millisecond.
 */
export function refuseInUse(id: string, parts: readonly string[]): void {
  const isFree = (part: string) => isEmpty(`${part}/work`) || waitUntilFree(`${part}/upper`, RELEASE_WAIT);
  if (parts.every(isFree)) return;
  throw inUse(id);
}

/** Of an instance whose overlay lives on without a record; `keeper`: in a namespace that others have copied, or that is kept. */
export function inUse(id: string, keeper?: Keeper): VeneerError {
  if (!keeper) {
    return new VeneerError("IN_USE", `instance ${id} is mounted, but veneer has no record of it`, {
      hint: "unmount it, or end what keeps it: 'findmnt -t overlay' and 'findmnt -t nsfs' show where",
    });
  }
  const { pid } = keeper;
  const where = pid === undefined ? "" : `, that of process ${pid}`;
  return new VeneerError(
    "IN_USE",
    `the overlay on instance ${id} lives on in another mount namespace${where}`,
    {
      hint:
        pid === undefined
          ? "end what keeps that namespace: a process in it, or a mount of its file ('findmnt -t nsfs')"
          : `end that process, or 'nsenter -m -t ${pid} umount' it there`,
    },
  );
}

function isEmpty(directory: string): boolean {
  using fd = openatMaybe(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  return fd !== undefined && listFd(fd.number, directory).length === 0;
}

/** Milliseconds. */
const RELEASE_WAIT = 2000;

export function heldBy(id: string, holder: UseRecord): VeneerError {
  const who =
    holder.engine === "mount"
      ? `mounted on ${holder.target}`
      : `held by container ${displayName(holder.container ?? holder.key)} (${holder.engine})`;
  const pid = holder.process ? `, process ${holder.process.pid}` : "";
  return new VeneerError("HELD", `instance ${id} is ${who}${pid}, since ${holder.created}`, {
    hint: `stop it first${holder.engine === "mount" ? ` ('veneer umount ${id}')` : ""}, or use another instance`,
  });
}
