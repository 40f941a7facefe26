/** The processes of a container, and the control group that holds them. */

import { type Freezer, freezersOf } from "../sys/cgroup.ts";
import { readText } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { gone, listPids, namespaceOf } from "../sys/process/processes.ts";
import { identify, mayExist, type ProcessIdentity } from "../sys/process.ts";
import { getpid } from "../sys/self.ts";
import { isType, list, lstatMaybe } from "../sys/stat.ts";

export interface Members {
  /** in the container's mount or pid namespace, or in its control group */
  readonly pids: readonly number[];
  /** the control group of all or most of them, and of nobody else; absent: there is none */
  readonly freezer?: Freezer;
  /** those that are not in it */
  readonly outside: readonly ProcessIdentity[];
}

/** The processes of the container whose first process is `init`. */
export function findMembers(init: number): Members {
  const test = memberTest(init);
  const known = new Set(listPids().filter(test.isMember));
  known.add(init);
  const freezer = findFreezer(init, known, test);
  const grouped = new Set(freezer ? pidsIn(freezer.path) : []);
  const outside = [...known].filter((pid) => !grouped.has(pid)).flatMap((pid) => identify(pid) ?? []);
  return {
    pids: [...new Set([...known, ...grouped])],
    ...(freezer && { freezer }),
    outside,
  };
}

function memberTest(init: number) {
  const mount = namespaceOf(init, "mnt");
  const own = namespaceOf(init, "pid");
  // a container may share the host's pid namespace
  const pids = own === namespaceOf(getpid(), "pid") ? undefined : own;
  const depth = depthOf(init);
  const isMember = (pid: number) =>
    namespaceOf(pid, "mnt") === mount || (pids !== undefined && namespaceOf(pid, "pid") === pids);
  const isOurs = (pid: number) => pid !== 0 && (isMember(pid) || isGone(pid));
  /** containers inside it belong to it; 0 is a process that this pid namespace cannot see */
  const belongs = (pid: number) => isOurs(pid) || (pid !== 0 && depthOf(pid) > depth);
  // with the host's pid namespace, other containers are as deep as those inside it: only its own group tells them apart
  return { isMember, belongs, belongsAbove: pids === undefined ? isOurs : belongs };
}

/** Not one that /proc hides: that is somebody's, and must not be frozen along. */
function isGone(pid: number): boolean {
  return identify(pid) === undefined && !mayExist(pid);
}

/** The number of pid namespaces that a process is in. */
function depthOf(pid: number): number {
  const text = gone(() => readText(`/proc/${pid}/status`)) ?? "";
  return /^NSpid:(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/).length ?? 0;
}

/**
 * The group of `init`, or the nearest one above it that holds all known processes (an init system moves itself into a
 * group of its own), as long as it holds nobody else.
 */
function findFreezer(
  init: number,
  known: ReadonlySet<number>,
  test: Pick<ReturnType<typeof memberTest>, "belongs" | "belongsAbove">,
): Freezer | undefined {
  const text = gone(() => readText(`/proc/${init}/cgroup`)) ?? "";
  const mounts = parseMountinfo(readMountinfo("self") ?? "");
  for (const { kind, path } of freezersOf(text, mounts)) {
    const top = mounts.findLast(({ target }) => path.startsWith(`${target}/`))?.target ?? "/";
    let found: Freezer | undefined;
    for (let group = path; group !== top && canFreeze(kind, group); group = parentOf(group)) {
      const pids = new Set(pidsIn(group));
      if (![...pids].every(group === path ? test.belongs : test.belongsAbove)) break;
      found = { kind, path: group };
      if ([...known].every((pid) => pids.has(pid) || isGone(pid))) break;
    }
    if (found) return found;
  }
  return undefined;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function canFreeze(kind: Freezer["kind"], path: string): boolean {
  return lstatMaybe(`${path}/${kind === "v1" ? "freezer.state" : "cgroup.freeze"}`) !== undefined;
}

/** All processes of a group and of the groups below it; 0 stands for one that this pid namespace cannot see. */
export function pidsIn(group: string): number[] {
  const own = gone(() => readText(`${group}/cgroup.procs`)) ?? "";
  const pids = own
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);
  for (const name of gone(() => list(group)) ?? []) {
    const path = `${group}/${name}`;
    if (isType(lstatMaybe(path), S_IFDIR)) pids.push(...pidsIn(path));
  }
  return pids;
}
