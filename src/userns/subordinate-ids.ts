/** Which ids of the host can be mapped in a user's namespace. Pure. */
import type { IdRange } from "../sys/user-namespace.ts";

/** A line of subuid(5): a range of ids that belong to a user in addition to the user's own. */
export interface SubordinateRange {
  readonly start: number;
  readonly count: number;
}

/** The ranges of a user in a subuid(5) or subgid(5) file, where the user appears by name or by number. */
export function parseSubordinate(text: string, uid: number, name: string | undefined): SubordinateRange[] {
  return text.split("\n").flatMap((line) => {
    const [owner, start, count] = line.trim().split(":");
    if (owner !== String(uid) && (name === undefined || owner !== name)) return [];
    const range = { start: Number(start), count: Number(count) };
    return Number.isSafeInteger(range.start) && range.count > 0 ? [range] : [];
  });
}

/** The kernel allows 340 lines in a map (user_namespaces(7)); one is for the user's own id. */
const MOST = 339;

/**
 * The arguments of newuidmap(1) after the pid: root in the namespace is the user itself, and the ranges follow from id
 * 1 on, one after the other, as in podman and buildah.
 */
export function mapArguments(own: number, ranges: readonly SubordinateRange[]): string[] {
  const words = [0, own, 1];
  let next = 1;
  for (const { start, count } of ranges.slice(0, MOST)) {
    words.push(next, start, count);
    next += count;
  }
  return words.map(String);
}

/** Maps the ranges into a namespace, one after the other from id 0 on. */
export function lineUp(ranges: readonly SubordinateRange[]): IdRange[] {
  let next = 0;
  return ranges.slice(0, MOST).map(({ start, count }) => {
    const range = { containerID: next, hostID: start, size: count };
    next += count;
    return range;
  });
}
