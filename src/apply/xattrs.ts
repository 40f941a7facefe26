/** Extended attributes in which overlayfs keeps its own notes (overlayfs.rst; fs/overlayfs/overlayfs.h). */

const NOTES = ["opaque", "redirect", "metacopy", "origin", "impure", "nlink", "upper", "uuid", "protattr"];
const NAMES: ReadonlySet<string> = new Set(NOTES.map((note) => `trusted.overlay.${note}`));

/** Whether overlayfs hides this one from those who look through it. */
export function isOverlayXattr(name: string): boolean {
  return NAMES.has(name);
}
