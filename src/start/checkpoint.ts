/**
 * `checkpoint` of a container on a base. The root is mounted in the container's namespace alone, but runc and crun
 * look a volume's place up below root.path before they tell CRIU: a link in the base would lead elsewhere.
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

/** What runs under this container id with a root that the host does not see. */
function hiddenRoots(store: Store, container: string): { record: UseRecord; pid: number }[] {
  return listRecords(store, `${container.slice(0, 128)}~`, () => {}).flatMap((record) => {
    if (record.container !== container || record.placement !== "private") return [];
    const pid = rootedIn(record);
    return pid === undefined ? [] : [{ record, pid }];
  });
}

/** A process whose root is the record's overlay. */
function rootedIn(record: UseRecord): number | undefined {
  const device = record.overlay?.device;
  if (device === undefined) return undefined;
  for (const pid of mountersOf(device)) if (isRootOf(pid, record)) return pid;
  return undefined;
}

export function hasHiddenRoot(store: Store, container: string): boolean {
  return hiddenRoots(store, container).length > 0;
}

/** Attaches the container's root to its root.path, in the caller's mount namespace, which must be its own. */
export function showRoot(store: Store, container: string): void {
  for (const { record, pid } of hiddenRoots(store, container)) {
    const path = record.target as string;
    withContext(`show the root of ${container} on ${path}`, () => {
      using target = openDirectory(path);
      using root = insideMountNamespace(pid, () => cloneTree(AT_FDCWD, "/", false));
      // between the look and the clone the pid may have become another's
      if (!isOverlayOf(record, root)) throw new VeneerError("GONE", `process ${pid} has ended`);
      attach(root, target, path);
    });
  }
}
