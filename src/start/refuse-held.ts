/** An instance has one overlay at a time: refuses a second one, with an error that names the holder. */
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
 * Throws when something live holds the instance; cleans up after a dead holder. The caller holds the instance's lock,
 * so that no other start can be between this check and its mount.
 */
export function refuseHeld(store: Store, id: string): void {
  const holder = findHolder(store, id);
  if (!holder) dropDanglingHolder(store, id);
  else if (isLive(holder)) throw heldBy(id, holder);
  else reclaim(store, holder);
}

/**
 * Throws when a part of a generation is mounted although no record here says so: with another --run, after records were
 * lost, or because a root from before a live rebase still writes to it. `parts` are the directories of its parts. Waits
 * a little, because the mount namespace of a runtime outlives its poststop hooks. Asking the kernel takes a
 * millisecond, which a part that was never mounted saves: its work directory is empty, since overlayfs creates `work`
 * in it at the first mount.
 */
export function refuseInUse(id: string, parts: readonly string[]): void {
  const isFree = (part: string) => isEmpty(`${part}/work`) || waitUntilFree(`${part}/upper`, RELEASE_WAIT);
  if (parts.every(isFree)) return;
  throw inUse(id);
}

/** The error for an instance whose overlay exists without a record; `keeper` is a mount namespace with a copy of it. */
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

/** Milliseconds that a runtime may take to end after its poststop hooks. */
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
