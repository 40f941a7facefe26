/** What a runtime leaves of our own containers that is killed while it starts them. */
import { readRuntimeState } from "../request/runtime-state.ts";
import { paths, type Store } from "../store/paths.ts";
import { recordKey } from "../store/records.ts";
import { namesIn } from "../store/versions.ts";
import { rmdirQuietly } from "../sys/fd.ts";
import { nameOf } from "../sys/process/processes.ts";
import { lstatMaybe } from "../sys/stat.ts";

/** Where the hierarchies are mounted: version 2 itself, those of version 1 below it. */
const MOUNTED = "/sys/fs/cgroup";

/** The control group (cgroups(7)) of a container in every hierarchy, as config.json names it. No other container has it. */
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

/** What runc's first process is named until it executes the command. */
const RUNC_INIT = "runc:[2:INIT]";

/**
 * Whether runc was killed after it had made the container and before it let its command run: the first process then waits
 * at a FIFO for ever. Only for a container whose `veneer run` is gone. crun uses no FIFO for `run`.
 */
export function neverRan(store: Store, id: string): boolean {
  const state = `${paths.runtimeState(store, "runc")}/${id}`;
  // runc removes it right after the command has begun: it may be left of a container that runs
  if (!lstatMaybe(`${state}/exec.fifo`)) return false;
  const pid = readRuntimeState("runc", state)?.pid;
  return pid !== undefined && nameOf(pid) === RUNC_INIT;
}
