/**
 * What config.json wants of the root once everything is mounted. crun does it by a descriptor that it opened
 * before the hooks: in the root that is covered, where the container would not notice. So it is done here as
 * well, the way crun does it (src/libcrun/linux.c: libcrun_set_mounts).
 */
import { VeneerError } from "../errors.ts";
import type { RootOptions } from "../request/oci-config.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat, openat2 } from "../sys/fd.ts";
import {
  AT_FDCWD,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  O_PATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFCHR,
  S_IFDIR,
} from "../sys/flags.ts";
import { attach, cloneTree, makeTmpfs, setMountAttributes } from "../sys/mount.ts";
import { fstat, isType } from "../sys/stat.ts";
import { openMountPoint } from "./open-mount-point.ts";

/** Makes the working directory, masks paths, makes paths and at last the root read-only. */
export function applyRootOptions(root: Fd, options: RootOptions): void {
  if (options.cwd !== undefined) makeDirectory(root, options.cwd);
  for (const path of options.masked) {
    using place = openMaybe(root, path);
    if (place) mask(place, path);
  }
  for (const path of options.readonlyPaths) {
    using place = openMaybe(root, path);
    if (!place) continue;
    using tree = cloneTree(place.number, "");
    setMountAttributes(tree, { set: MOUNT_ATTR_RDONLY, propagation: MS_PRIVATE }, path);
    attach(tree, place, path);
  }
  if (options.readonly) setMountAttributes(root, { set: MOUNT_ATTR_RDONLY }, "the root");
}

/** A working directory that cannot be made is the runtime's to report. */
function makeDirectory(root: Fd, path: string): void {
  if (/^\/*$/.test(path)) return;
  try {
    openMountPoint(root, path, "directory", false)[Symbol.dispose]();
  } catch {
    // as above
  }
}

/** Paths are resolved inside the root; one that is not there needs no mask. */
function openMaybe(root: Fd, path: string): Fd | undefined {
  try {
    return openat2(root.number, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}

/** An empty read-only file system on a directory, /dev/null on anything else. */
function mask(place: Fd, path: string): void {
  if (isType(fstat(place.number), S_IFDIR)) {
    using empty = makeTmpfs({ source: "tmpfs", size: "0k" }, MOUNT_ATTR_RDONLY);
    attach(empty, place, path);
    return;
  }
  using source = openat(AT_FDCWD, "/dev/null", O_PATH);
  const { mode, rdevMajor, rdevMinor } = fstat(source.number);
  if ((mode & S_IFCHR) !== S_IFCHR || rdevMajor !== 1 || rdevMinor !== 3) {
    throw new VeneerError("DEV_NULL", `mask ${path}: /dev/null is not the null device`);
  }
  using tree = cloneTree(source.number, "", false);
  setMountAttributes(tree, { propagation: MS_PRIVATE }, path);
  attach(tree, place, path);
}
