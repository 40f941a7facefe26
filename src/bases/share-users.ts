/** Who uses what is shared. */
import { VeneerError } from "../errors.ts";
import type { Audience } from "../store/shared.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { gone, listPids } from "../sys/process/processes.ts";
import { ownerOfUserns } from "../sys/user-namespace.ts";

/**
 * Throws where a process of an audience uses one of its `dropped` layers. The kernel says of which paths an overlay is
 * made from Linux 6.13 on: before, none is seen. That is text, which whoever mounts may choose; so those are heard alone
 * to whom the layer is shared, who could use it as well.
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

/** The paths in the options of the overlays in a process's mount table. */
function overlayPaths(pid: number): string[] {
  const overlays = parseMountinfo(gone(() => readMountinfo(pid)) ?? "").filter(
    ({ type }) => type === "overlay",
  );
  return overlays.flatMap(({ superOptions }) => superOptions.split(/[,=:]/));
}
