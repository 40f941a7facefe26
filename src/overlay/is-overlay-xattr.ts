/** Extended attributes in which overlayfs keeps its own notes (overlayfs.rst; fs/overlayfs/overlayfs.h). */
import { overlayPrefix } from "./xattrs.ts";

const NOTES: ReadonlySet<string> = new Set([
  "opaque",
  "redirect",
  "metacopy",
  "origin",
  "impure",
  "nlink",
  "upper",
  "uuid",
  "protattr",
]);

/** Whether overlayfs hides this one from those who look through it. */
export function isOverlayXattr(name: string): boolean {
  const prefix = overlayPrefix();
  return name.startsWith(prefix) && NOTES.has(name.slice(prefix.length));
}
