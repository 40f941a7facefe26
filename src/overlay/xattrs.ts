/** Names of overlayfs's own xattrs, which differ in a user namespace (overlayfs.rst, "User xattr"). */
import { inUserNamespace } from "../sys/user-namespace.ts";

let prefix: string | undefined;

/** `trusted.overlay.`, or `user.overlay.` in a user namespace, whose overlays are mounted with `userxattr`. */
function overlayPrefix(): string {
  prefix ??= inUserNamespace() ? "user.overlay." : "trusted.overlay.";
  return prefix;
}

/**
 * Whether this xattr is overlayfs's own: it hides everything with its prefix. Since Linux 6.7, what a container sets
 * with that prefix is stored with the prefix doubled, and is visible (ovl_is_private_xattr in fs/overlayfs/xattrs.c).
 */
export function isOverlayXattr(name: string): boolean {
  const own = overlayPrefix();
  return name.startsWith(own) && !name.startsWith(`${own}overlay.`);
}

/** The full name of an overlayfs xattr, such as `trusted.overlay.opaque`. */
export function overlayXattr(
  name: "opaque" | "whiteout" | "metacopy" | "origin" | "impure" | "nlink" | "uuid" | "upper",
): string {
  return overlayPrefix() + name;
}
