/** User namespaces (user_namespaces(7)): whether this process is in one, and who its root is outside. */
import { readlink, readText } from "./fd.ts";

/** PROC_USER_INIT_INO in include/linux/proc_ns.h */
const FIRST = "user:[4026531837]";

let inside: boolean | undefined;

/**
 * Whether this process is in another user namespace than the machine's first. There the kernel keeps trusted.*
 * attributes from everybody: overlayfs then has its own in user.* (overlayfs.rst, "User xattr"). Asked once.
 */
export function inUserNamespace(): boolean {
  inside ??= (readlink("/proc/self/ns/user") ?? FIRST) !== FIRST;
  return inside;
}

/** An extent of a map: ids from `inside` on are those from `outside` on. */
export interface IdExtent {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** /proc/self/uid_map or gid_map. */
export function readIdMap(kind: "uid" | "gid"): IdExtent[] {
  const text = readText(`/proc/self/${kind}_map`) ?? "";
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [inner = 0, outer = 0, count = 0] = line.trim().split(/\s+/).map(Number);
      return { inside: inner, outside: outer, count };
    });
}

/** The user that this namespace's root is in the namespace around it; undefined where it has none. */
export function outerUser(): number | undefined {
  return readIdMap("uid").find((extent) => extent.inside === 0)?.outside;
}
