/** Mount propagation (mount_namespaces(7)). Pure. */
import type { MountEntry } from "./mountinfo.ts";

/** Whether mounts below this mount may propagate elsewhere. */
export function isShared({ propagation }: MountEntry): boolean {
  return propagation.some((field) => field.startsWith("shared:"));
}
