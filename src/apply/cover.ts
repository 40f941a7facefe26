/**
 * Covers the root of a container that is being created, from a hook at prestart or createRuntime: the runtime
 * has mounted root.path and everything below it in the container's mount namespace and resolves root.path
 * again before it pivots (runc up to 1.5 and crun), so an overlay on top of it becomes the root.
 */
import { VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat2, openDirectory, readText } from "../sys/fd.ts";
import {
  AT_EMPTY_PATH,
  MS_PRIVATE,
  O_PATH,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  S_IFDIR,
} from "../sys/flags.ts";
import { check, cstring, syscall } from "../sys/libc.ts";
import { attach, cloneTree } from "../sys/mount.ts";
import { type MountEntry, parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { enterMountNamespace } from "../sys/namespace.ts";
import { SYS } from "../sys/numbers.ts";
import { fstat, isType, list } from "../sys/stat.ts";
import { openMountPoint } from "./resolve.ts";

/**
 * Puts `overlay` over `rootPath` in the mount namespace of `pid` and the mounts that were below it back on
 * top. This thread stays in that namespace. Throws before anything is changed when the runtime holds the old
 * root open and would pivot into it.
 */
export function cover(overlay: Fd, pid: number, rootPath: string): void {
  const text = readMountinfo(pid);
  if (text === undefined) throw new VeneerError("GONE", `the container's process ${pid} is gone`);
  const mounts = parseMountinfo(text);
  enterMountNamespace(pid);
  using root = openDirectory(rootPath);
  const rootId = Number(fstat(root.number).mountId);
  const rootMount = mounts.find((mount) => mount.id === rootId);
  if (!rootMount) throw new VeneerError("NO_ROOT", `root ${rootPath} is on no mount of process ${pid}`);
  refuseHeldRoot(pid, rootId);
  if (rootMount.propagation.some((field) => field.startsWith("shared:"))) makePrivate(rootMount);
  const clones = cloneChildren(root, rootMount, mounts);
  attach(overlay, root, rootPath);
  for (const child of clones) {
    const strict = child.type === "proc" || child.type === "sysfs";
    const kind = isType(fstat(child.tree.number), S_IFDIR) ? "directory" : "file";
    using point = openMountPoint(overlay, child.path, kind, strict);
    attachChild(child.tree, point, child.path, kind);
    child.tree[Symbol.dispose]();
  }
}

interface Child {
  /** relative to the root */
  readonly path: string;
  readonly type: string;
  readonly tree: Fd;
}

/** A detached copy of each mount directly on the root, with all that is below it. */
function cloneChildren(root: Fd, rootMount: MountEntry, mounts: readonly MountEntry[]): Child[] {
  const prefix = rootMount.target === "/" ? "/" : `${rootMount.target}/`;
  const clones: Child[] = [];
  for (const mount of mounts) {
    if (mount.parent !== rootMount.id || !mount.target.startsWith(prefix)) continue;
    const path = mount.target.slice(prefix.length);
    using top = openat2(root.number, path, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    const topId = Number(fstat(top.number).mountId);
    // a later mount above it may hide this one, as it does in the container
    const visible = mounts.find((other) => other.id === topId);
    if (visible?.target !== mount.target) continue;
    clones.push({ path, type: visible.type, tree: cloneTree(top.number, "") });
  }
  return clones;
}

function attachChild(tree: Fd, point: Fd, path: string, kind: string): void {
  try {
    attach(tree, point, path);
  } catch (error) {
    if (!isErrno(error, "ENOTDIR")) throw error;
    const other = kind === "file" ? "directory" : "file";
    throw new VeneerError("MOUNT_TYPE", `mount a ${kind} on /${path}, which is a ${other} in the base`, {
      cause: error,
    });
  }
}

/** Keeps the mount from propagating to the host (mount_setattr(2), Linux 5.12). */
function makePrivate(mount: MountEntry): void {
  using directory = openDirectory(mount.target);
  const attributes = new BigUint64Array([0n, 0n, BigInt(MS_PRIVATE), 0n]);
  const result = syscall(
    SYS.mount_setattr,
    directory.number,
    cstring(""),
    AT_EMPTY_PATH,
    attributes,
    attributes.byteLength,
  );
  check(result, "mount_setattr", mount.target);
}

/**
 * runc after 1.5 opens root.path before the hooks and pivots through that descriptor: a covered root would
 * silently be missed. crun holds such a descriptor too, but resolves the path again.
 */
function refuseHeldRoot(pid: number, rootId: number): void {
  const command = readText(`/proc/${pid}/comm`)?.trim() ?? "";
  if (command.includes("crun") || /^[0-9]+$/.test(command)) return;
  for (const name of list(`/proc/${pid}/fd`)) {
    const info = readText(`/proc/${pid}/fdinfo/${name}`);
    const id = info && /^mnt_id:\s*([0-9]+)$/m.exec(info)?.[1];
    if (id && Number(id) === rootId) {
      throw new VeneerError(
        "HELD_ROOT",
        `the runtime (process ${pid}, ${command}) opened the root before its hooks and would miss a root mounted now`,
        { hint: "use the wrapping runtime veneer-runc in place of the hook" },
      );
    }
  }
}
