/** The group of terminals (devpts, `gid=`), which may not be mapped in a user's namespace. */
import { ownRanges } from "../sys/user-namespace.ts";
import { hasId } from "./id-map.ts";

export const TTY_GROUP = 5;

/** Whether the group is mapped in this process's user namespace: devpts cannot be mounted with an unmapped one. */
export function hasTtyGroup(): boolean {
  return hasId(ownRanges("gid"), TTY_GROUP);
}
