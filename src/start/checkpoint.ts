/**
 * `checkpoint` of a container on a base. Its root is mounted only in the container's mount namespace, but runc and crun
 * look up the mount points of volumes below root.path before they pass them to CRIU. Without the root there, they would
 * not see links in the base.
 */
import { VeneerError, withContext } from "../errors.ts";
import { isOverlayOf } from "../store/mounts/identity.ts";
import { mountersOf } from "../store/mounts/mount-tables.ts";
import { isRootOf } from "../store/mounts/roots.ts";
import type { Store } from "../store/paths.ts";
import { listRecords, type UseRecord } from "../store/records.ts";
import { openDirectory } from "../sys/fd.ts";
import { AT_FDCWD } from "../sys/flags.ts";
import { attach, cloneTree } from "../sys/mount.ts";
import { insideMountNamespace } from "../sys/namespace.ts";
import { statMaybe } from "../sys/stat.ts";

/** A container to checkpoint, as its runtime knows it. */
export interface Checkpointed {
  readonly container: string;
  /** tells containers of one id apart, which different engines and state directories can have; absent: not known */
  readonly bundle?: string;
}

/** Whether the record is that of the runtime's container. `isSame`: whether two paths lead to one directory. Pure. */
export function isRecordOf(
  record: Pick<UseRecord, "container" | "placement" | "bundle">,
  { container, bundle }: Checkpointed,
  isSame: (a: string, b: string) => boolean,
): boolean {
  if (record.container !== container || record.placement !== "private") return false;
  return bundle === undefined || (record.bundle !== undefined && isSame(record.bundle, bundle));
}

function isSameDirectory(a: string, b: string): boolean {
  if (a === b) return true;
  const [one, other] = [statMaybe(a), statMaybe(b)];
  return one !== undefined && other !== undefined && one.ino === other.ino && one.dev === other.dev;
}

/** The containers of that name that run with a root that is not visible on the host. */
function hiddenRoots(store: Store, wanted: Checkpointed): { record: UseRecord; pid: number }[] {
  return listRecords(store, `${wanted.container.slice(0, 128)}~`, () => {}).flatMap((record) => {
    if (!isRecordOf(record, wanted, isSameDirectory)) return [];
    const pid = rootedIn(record);
    return pid === undefined ? [] : [{ record, pid }];
  });
}

/** The pid of a process whose root is the record's overlay. */
function rootedIn(record: UseRecord): number | undefined {
  const device = record.overlay?.device;
  if (device === undefined) return undefined;
  for (const pid of mountersOf(device)) if (isRootOf(pid, record)) return pid;
  return undefined;
}

export function hasHiddenRoot(store: Store, wanted: Checkpointed): boolean {
  return hiddenRoots(store, wanted).length > 0;
}

/** Attaches the container's root to its root.path in this process's mount namespace, which must be a private one. */
export function showRoot(store: Store, wanted: Checkpointed): void {
  for (const { record, pid } of hiddenRoots(store, wanted)) {
    const path = record.target as string;
    withContext(`show the root of ${wanted.container} on ${path}`, () => {
      using target = openDirectory(path);
      using root = insideMountNamespace(pid, () => cloneTree(AT_FDCWD, "/", false));
      // the pid may have been reused since we checked it, or something is mounted over the root
      if (!isOverlayOf(record, root)) throw new VeneerError("GONE", `process ${pid} has ended`);
      attach(root, target, path);
    });
  }
}
