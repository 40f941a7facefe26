/** Control groups of our own containers (cgroups(7)). */
import { recordKey } from "../store/records.ts";
import { namesIn } from "../store/versions.ts";
import { rmdirQuietly } from "../sys/fd.ts";

/** Where the hierarchies are mounted: version 2 itself, those of version 1 below it. */
const MOUNTED = "/sys/fs/cgroup";

/** The group of a container in every hierarchy, as config.json names it: no other container has one of this name. */
export const groupOf = (id: string, bundle: string) => `/veneer-${recordKey("runtime", id, bundle)}`;

/**
 * Removes the groups of a container that is gone. The runtime does so itself, unless it was killed between making them
 * and noting that it did. Idempotent; a group with a process in it stays.
 */
export function removeGroups(id: string, bundle: string): void {
  const group = groupOf(id, bundle);
  rmdirQuietly(`${MOUNTED}${group}`);
  for (const name of namesIn(MOUNTED)) rmdirQuietly(`${MOUNTED}/${name}${group}`);
}
