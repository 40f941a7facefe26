/** By what the files of a container's roots are told: the root that it has, and those that it had. */
import type { Remains } from "../store/records.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { gone, namespaceOf } from "../sys/process/processes.ts";
import type { RootMarks } from "./open-files.ts";

/**
 * Marks of roots (mount and device of each), and of their copies in other mount namespaces that some of the
 * processes are in. Where the layers are on several file systems, files do not have the overlay's device: the
 * mount tells then.
 */
export function marksOf(
  roots: readonly Pick<Remains, "mount" | "device" | "copies">[],
  init: number,
  pids: readonly number[],
): RootMarks {
  const devices = new Set(roots.map(({ device }) => device));
  const mounts = new Set(roots.flatMap(({ mount, copies = [] }) => [mount, ...copies]));
  const seen = new Set([namespaceOf(init, "mnt")]);
  for (const pid of pids) {
    const namespace = namespaceOf(pid, "mnt");
    if (seen.has(namespace)) continue;
    seen.add(namespace);
    for (const { id, device } of parseMountinfo(gone(() => readMountinfo(pid)) ?? "")) {
      if (devices.has(device)) mounts.add(id);
    }
  }
  return { mounts, devices };
}
