/** The source of our overlays in mountinfo. */
import { inUserNamespace, outerUser } from "../sys/user-namespace.ts";

/**
 * `veneer:NAME`, or `veneer:UID:NAME` for a user without root, because all users can read the mount tables, and the
 * instances of two users can have the same name.
 */
export function mountSource(name: string): string {
  return inUserNamespace() ? `veneer:${outerUser() ?? ""}:${name}` : `veneer:${name}`;
}
