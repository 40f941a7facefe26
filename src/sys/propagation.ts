/** How mounts pass on to other places what is mounted on them (mount_namespaces(7)). Pure. */
import type { MountEntry } from "./mountinfo.ts";

/** Whether what is mounted below a mount may appear elsewhere too. */
export function isShared({ propagation }: MountEntry): boolean {
  return propagation.some((field) => field.startsWith("shared:"));
}
