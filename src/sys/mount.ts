/** The kernel's mount API: fsopen(2), fsconfig(2), fsmount(2), open_tree(2), move_mount(2), umount2(2). */
import { errno, SysError } from "./errno.ts";
import { Fd, openCanonical } from "./fd.ts";
import {
  AT_EMPTY_PATH,
  AT_RECURSIVE,
  FSCONFIG_CMD_CREATE,
  FSCONFIG_SET_FD,
  FSCONFIG_SET_FLAG,
  FSCONFIG_SET_STRING,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOVE_MOUNT_BENEATH,
  MOVE_MOUNT_F_EMPTY_PATH,
  MOVE_MOUNT_T_EMPTY_PATH,
  MS_PRIVATE,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  UMOUNT_NOFOLLOW,
} from "./flags.ts";
import { check, cstring, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

/** fsopen(2): a file system context, which {@link createMount} turns into a mount. */
export function fsopen(type: string): Fd {
  return new Fd(check(syscall(SYS.fsopen, cstring(type), FSOPEN_CLOEXEC), "fsopen", type));
}

/** fsconfig(2) FSCONFIG_SET_STRING, or FSCONFIG_SET_FLAG without a value; returns 0 or -errno. */
export function setOption(context: Fd, key: string, value?: string): number {
  return value === undefined
    ? syscall(SYS.fsconfig, context.number, FSCONFIG_SET_FLAG, cstring(key), null, 0)
    : syscall(SYS.fsconfig, context.number, FSCONFIG_SET_STRING, cstring(key), cstring(value), 0);
}

/** fsconfig(2) FSCONFIG_SET_FD; returns 0 or -errno. Overlayfs takes layers this way since Linux 6.13. */
export function setFdOption(context: Fd, key: string, fd: Fd): number {
  return syscall(SYS.fsconfig, context.number, FSCONFIG_SET_FD, cstring(key), null, fd.number);
}

/** fsconfig(2) FSCONFIG_CMD_CREATE; returns 0 or -errno. */
export function tryCreate(context: Fd): number {
  return syscall(SYS.fsconfig, context.number, FSCONFIG_CMD_CREATE, null, null, 0);
}

/** Creates the superblock and a detached mount of it, which disappears with its descriptor. Throws SysError. */
export function createMount(context: Fd, name: string, attributes = 0): Fd {
  const created = tryCreate(context);
  if (created < 0) throw new SysError(-created, `mount ${name}${contextLog(context)}`);
  return new Fd(check(syscall(SYS.fsmount, context.number, FSMOUNT_CLOEXEC, attributes), "fsmount", name));
}

/** A detached tmpfs with these options (tmpfs(5)). It lives as long as its descriptor or anything that uses it. */
export function makeTmpfs(options: Readonly<Record<string, string>>, attributes = 0): Fd {
  using context = fsopen("tmpfs");
  for (const [key, value] of Object.entries({ source: "veneer", ...options })) {
    const result = setOption(context, key, value);
    if (result < 0) throw new SysError(-result, `fsconfig tmpfs ${key}=${value}`);
  }
  return createMount(context, "tmpfs", attributes);
}

/** The kernel's messages about the last failure in a context (fsopen(2)), as ` (text)`; empty when there are none. */
function contextLog(context: Fd): string {
  const lines: string[] = [];
  const buffer = new Uint8Array(1024);
  for (let count = 0; count < 8; count++) {
    const length = syscall(SYS.read, context.number, buffer, buffer.length);
    if (length <= 0) break;
    lines.push(
      new TextDecoder()
        .decode(buffer.subarray(0, length))
        .trim()
        .replace(/^[ewi] /, ""),
    );
  }
  return lines.length === 0 ? "" : ` (${lines.join("; ")})`;
}

/**
 * A detached, private copy of the mount at `path` and, with `recursive`, of all mounts below it. It is made private
 * because a copy of a shared mount is its peer at first (mount_namespaces(7)): what is mounted on the copy, wherever
 * that is attached, would also appear on the original and cover the host's own directories.
 */
export function cloneTree(dir: number, path: string, recursive = true): Fd {
  const clone = clonePeer(dir, path, recursive);
  try {
    setMountAttributes(clone, { propagation: MS_PRIVATE, recursive }, path);
    return clone;
  } catch (error) {
    clone[Symbol.dispose]();
    throw error;
  }
}

/** Like {@link cloneTree}, but the copy stays a peer: the caller sets its propagation before attaching it. */
export function clonePeer(dir: number, path: string, recursive: boolean): Fd {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return new Fd(check(syscall(SYS.open_tree, dir, cstring(path), flags), "open_tree", path));
}

/** move_mount(2): attaches a detached mount, or moves an attached one, onto the file or directory open as `target`. */
export function attach(mount: Fd, target: Fd, name: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  const empty = cstring("");
  check(syscall(SYS.move_mount, mount.number, empty, target.number, empty, flags), "move_mount", name);
}

/**
 * Moves a mount beneath the mount whose root is open as `top`, at the same mount point (move_mount(2),
 * MOVE_MOUNT_BENEATH, Linux 6.5). What is visible there stays `top`.
 */
export function attachBeneath(mount: Fd, top: Fd, name: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH | MOVE_MOUNT_BENEATH;
  const empty = cstring("");
  check(syscall(SYS.move_mount, mount.number, empty, top.number, empty, flags), "move_mount", name);
}

/** Whether the kernel supports {@link attachBeneath}: it rejects unknown flags before it looks at the descriptors. */
export function canAttachBeneath(): boolean {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH | MOVE_MOUNT_BENEATH;
  const empty = cstring("");
  return syscall(SYS.move_mount, -1, empty, -1, empty, flags) !== -(errno.EINVAL as number);
}

/**
 * mount_setattr(2) (Linux 5.12) on a mount, or with `recursive` also on all mounts below it: MOUNT_ATTR_ flags to clear
 * and to set, a propagation type, and the user namespace for MOUNT_ATTR_IDMAP.
 */
export function setMountAttributes(
  mount: Fd,
  attributes: { set?: number; clear?: number; propagation?: number; userns?: Fd; recursive?: boolean },
  name: string,
): void {
  const { set = 0, clear = 0, propagation = 0, userns, recursive = false } = attributes;
  const all = [set, clear, propagation, userns?.number ?? 0];
  const values = new BigUint64Array(all.map(BigInt));
  const result = syscall(
    SYS.mount_setattr,
    mount.number,
    cstring(""),
    AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0),
    values,
    values.byteLength,
  );
  check(result, "mount_setattr", name);
}

/** mount(2) for propagation and bind mounts. */
export function mount(source: string | null, target: string, type: string | null, flags: number): void {
  const result = syscall(
    SYS.mount,
    source === null ? null : cstring(source),
    cstring(target),
    type === null ? null : cstring(type),
    flags,
    null,
  );
  check(result, "mount", target);
}

export function umount2(path: string, flags: number): void {
  check(syscall(SYS.umount2, cstring(path), flags), "umount2", path);
}

/** umount2(2) for cleanup: returns whether it worked and does not throw. */
export function umountQuietly(path: string, flags: number): boolean {
  return syscall(SYS.umount2, cstring(path), flags) === 0;
}

/**
 * Unmounts what is mounted at a canonical path. Others may own directories in it: throws ELOOP where one of them is a
 * symbolic link by now, which would lead to another mount.
 */
export function umountCanonical(path: string, flags: number): void {
  check(callCanonical(path, flags), "umount2", path);
}

/** Like {@link umountCanonical}; returns whether it worked and does not throw. */
export function umountCanonicalQuietly(path: string, flags: number): boolean {
  try {
    return callCanonical(path, flags) === 0;
  } catch {
    return false;
  }
}

/** The directory that holds the mount point is opened, since a descriptor of the mount itself would keep it busy. */
function callCanonical(path: string, flags: number): number {
  const slash = path.lastIndexOf("/");
  using parent = openCanonical(path.slice(0, slash) || "/");
  return syscall(SYS.umount2, cstring(`${parent.path}/${path.slice(slash + 1)}`), flags | UMOUNT_NOFOLLOW);
}
