/** Names of overlayfs's own attributes, which differ in a user namespace (overlayfs.rst, "User xattr"). */
import { inUserNamespace } from "../sys/user-namespace.ts";

let prefix: string | undefined;

/** `trusted.overlay.`, or `user.overlay.` in a user namespace, whose overlays are mounted with `userxattr`. */
export function overlayPrefix(): string {
  prefix ??= inUserNamespace() ? "user.overlay." : "trusted.overlay.";
  return prefix;
}

/** `trusted.overlay.opaque` and its kin. */
export function overlayXattr(
  name: "opaque" | "whiteout" | "origin" | "impure" | "nlink" | "uuid" | "upper",
): string {
  return overlayPrefix() + name;
}
