/** What mountinfo shows as the source of our overlays. */
import { inUserNamespace, outerUser } from "../sys/user-namespace.ts";

/**
 * `veneer:NAME`, of a user without root `veneer:UID:NAME`: everybody reads all mount tables, and instances of two
 * users can have the same name.
 */
export function mountSource(name: string): string {
  return inUserNamespace() ? `veneer:${outerUser() ?? ""}:${name}` : `veneer:${name}`;
}
