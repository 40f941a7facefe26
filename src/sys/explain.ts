/** What misleading errno values mean here, and what to do about them. */
import { errnoName, SysError } from "./errno.ts";

const MOUNT: Readonly<Record<string, string>> = {
  EBUSY: "the upper is in use by another overlay: 'veneer ps' shows by whom",
  ELOOP: "the upper and the base lie inside each other: keep the store outside of the base's directory",
  EINVAL:
    "the kernel's log (dmesg) names the reason; often the store is on a file system that cannot hold an upper (overlayfs, NFS, vfat)",
  ENODEV: "the kernel has no overlayfs: modprobe overlay",
  ENOSYS: "the kernel is too old: Linux 6.1 or later is needed",
  EPERM:
    "run as root, or as a user where 'veneer doctor' finds all; in a container the capability CAP_SYS_ADMIN is needed",
  EACCES: "run as root, or see what a security module (AppArmor, SELinux) logged",
  ENOSPC: "no space on the store's file system: 'veneer gc' frees what nothing uses",
  EDQUOT: "the quota of the store's file system is used up: 'veneer gc' frees what nothing uses",
  EROFS: "the store's file system is read-only",
  ENOENT: "a layer of the base is gone: 'veneer base show' lists its layers",
  ESTALE: "the upper was made on another base",
  E2BIG: "too many layers for this kernel: Linux 6.8 takes up to 500, earlier ones about 100",
  EOPNOTSUPP: "the store's file system has no extended attributes or no d_type (xfs with ftype=0)",
};

/**
 * A hint for a failed overlay mount. An image's tree is usually an overlay itself. With ours on it the stack is as deep
 * as the kernel allows (2, FILESYSTEM_MAX_STACK_DEPTH in include/linux/fs.h), so there may be no overlay below it.
 */
export function explainMount(number: number, layers: number, image = false): string | undefined {
  const name = errnoName(number);
  if (name === "EINVAL" && image) {
    return "the image's tree is stacked on another overlay already, and the kernel stacks two at most: use run.veneer.rootfs=replace, or keep the engine's images on a file system that is no overlay";
  }
  if (name === "ENOMEM" && layers > 50) return MOUNT.E2BIG;
  return MOUNT[name];
}

/** A hint for a failed system call on the store. */
export function explainStore(code: string): string | undefined {
  switch (code) {
    case "EACCES":
    case "EPERM":
      return "run as root, or as the user whose store it is";
    case "ENOSYS":
    case "ENOSPC":
    case "EDQUOT":
    case "EROFS":
      return MOUNT[code];
    default:
      return undefined;
  }
}

/** {@link explainStore} for a failed system call; undefined for any other error. */
export function explainError(error: unknown): string | undefined {
  return error instanceof SysError ? explainStore(error.code) : undefined;
}
