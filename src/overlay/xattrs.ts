/** Names of overlayfs's own attributes, which differ in a user namespace (overlayfs.rst, "User xattr"). */
import { inUserNamespace } from "../sys/user-namespace.ts";

let prefix: string | undefined;

/** `trusted.overlay.`, or `user.overlay.` in a user namespace, whose overlays are mounted with `userxattr`. */
function overlayPrefix(): string {
  prefix ??= inUserNamespace() ? "user.overlay." : "trusted.overlay.";
  return prefix;
}

/**
 * Whether overlayfs keeps this attribute for itself: it hides all below its prefix. What a container sets there is stored
 * with the prefix twice from Linux 6.7 on, and shown (ovl_is_private_xattr in fs/overlayfs/xattrs.c).
 */
export function isOverlayXattr(name: string): boolean {
  const own = overlayPrefix();
  return name.startsWith(own) && !name.startsWith(`${own}overlay.`);
}

/** `trusted.overlay.opaque` and its kin. */
export function overlayXattr(
  name: "opaque" | "whiteout" | "metacopy" | "origin" | "impure" | "nlink" | "uuid" | "upper",
): string {
  return overlayPrefix() + name;
}
