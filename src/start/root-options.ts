/**
 * Applies the options of the root in config.json once everything is mounted. crun applies them through a descriptor
 * that it opened before the hooks, which means to the covered root and not to the overlay. So they are applied here as
 * well, as crun does it (src/libcrun/linux.c: libcrun_set_mounts).
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

/** Creates the working directory, masks paths, and makes paths and finally the root read-only. */
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

/** Ignores errors: the runtime reports a missing working directory. */
function makeDirectory(root: Fd, path: string): void {
  if (/^\/*$/.test(path)) return;
  try {
    openMountPoint(root, path, "directory", false)[Symbol.dispose]();
  } catch {
    // the runtime reports it
  }
}

/** Resolves a path inside the root; undefined where it does not exist and needs no mask. */
function openMaybe(root: Fd, path: string): Fd | undefined {
  try {
    return openat2(root.number, path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}

/** Mounts an empty read-only file system on a directory, /dev/null on anything else. */
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
