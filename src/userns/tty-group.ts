/** The group of terminals (devpts, `gid=`), which a user's namespace may lack. */
import { ownRanges } from "../sys/user-namespace.ts";
import { hasId } from "./id-map.ts";

export const TTY_GROUP = 5;

/** Whether this process's user namespace has the group: devpts cannot be mounted with another. */
export function hasTtyGroup(): boolean {
  return hasId(ownRanges("gid"), TTY_GROUP);
}
