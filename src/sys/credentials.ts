/** The ids with which this thread accesses file systems: setfsuid(2), setfsgid(2). */
import { errno } from "./errno.ts";
import { check, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

export interface FsIds {
  readonly uid: number;
  readonly gid: number;
}

/** _LINUX_CAPABILITY_VERSION_3 (capget(2)) */
const VERSION = 0x20080522;

/** No id: a call with it changes nothing and returns the present one. */
const NONE = 0xffff_ffff;

/**
 * Runs `action` with these ids for file system access. Leaving uid 0 clears the file capabilities from the effective
 * set (capabilities(7), "Effect of user ID changes on capabilities"). With `privileged` they are set again; without it
 * they stay cleared, and supplementary groups are dropped too. Restores everything before it returns or throws. Throws
 * EPERM, and does not run `action`, where the kernel does not give these ids: the calls do not say so.
 */
export function withFsIds<T>(ids: FsIds, action: () => T, { privileged = true } = {}): T {
  const header = new Uint32Array([VERSION, 0]);
  const sets = new Uint32Array(6);
  check(syscall(SYS.capget, header, sets), "capget");
  const groups = privileged ? undefined : dropGroups();
  const before = { gid: syscall(SYS.setfsgid, ids.gid), uid: syscall(SYS.setfsuid, ids.uid) };
  try {
    requireId("setfsgid", syscall(SYS.setfsgid, NONE), ids.gid);
    requireId("setfsuid", syscall(SYS.setfsuid, NONE), ids.uid);
    if (privileged) check(syscall(SYS.capset, header, sets), "capset");
    return action();
  } finally {
    syscall(SYS.setfsuid, before.uid);
    syscall(SYS.setfsgid, before.gid);
    syscall(SYS.capset, header, sets);
    if (groups) syscall(SYS.setgroups, groups.length, groups);
  }
}

function requireId(call: string, now: number, wanted: number): void {
  if (now >>> 0 !== wanted) check(-(errno.EPERM as number), call, String(wanted));
}

/** Returns the previous groups; undefined where a user namespace denies setgroups(2) (user_namespaces(7)). */
function dropGroups(): Uint32Array | undefined {
  const groups = new Uint32Array(Math.max(0, syscall(SYS.getgroups, 0, null)));
  if (groups.length === 0) return undefined;
  check(syscall(SYS.getgroups, groups.length, groups), "getgroups");
  return syscall(SYS.setgroups, 0, null) < 0 ? undefined : groups;
}
