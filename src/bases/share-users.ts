/** Finds out who uses shared layers. */
import { VeneerError } from "../errors.ts";
import type { Audience } from "../store/shared.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { gone, listPids } from "../sys/process/processes.ts";
import { ownerOfUserns } from "../sys/user-namespace.ts";

/**
 * Throws when a process of an audience uses one of its `dropped` layers. Mount tables show the layers of such overlays
 * since Linux 6.13; on older kernels no use is found. Whoever mounts can choose these paths, so only the mount tables
 * of users count with whom the layer is shared: they could just as well use it.
 */
export function refuseUsed(name: string, dropped: ReadonlyMap<string, Audience>): void {
  for (const pid of listPids()) {
    const owner = ownerOfUserns(pid);
    if (owner === undefined) continue;
    const isDropped = (path: string) => {
      const audience = dropped.get(path);
      return audience === "all" || audience === owner;
    };
    if (!overlayPaths(pid).some(isDropped)) continue;
    throw new VeneerError("IN_USE", `base ${name} is used by process ${pid} of user ${owner}`, {
      hint: "stop it first, or end the share with --force: containers then keep running until a layer is removed",
    });
  }
}

/** The paths in the options of all overlays in the mount table of a process. */
function overlayPaths(pid: number): string[] {
  const overlays = parseMountinfo(gone(() => readMountinfo(pid)) ?? "").filter(
    ({ type }) => type === "overlay",
  );
  return overlays.flatMap(({ superOptions }) => superOptions.split(/[,=:]/));
}
