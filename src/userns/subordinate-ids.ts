/** Which ids of the host a user's namespace has. Pure. */
import type { IdRange } from "../sys/user-namespace.ts";

/** A line of subuid(5): ids that belong to a user beside its own. */
export interface SubordinateRange {
  readonly start: number;
  readonly count: number;
}

/** The ranges of a user, named by name or by number, in a subuid(5) or subgid(5) file. */
export function parseSubordinate(text: string, uid: number, name: string | undefined): SubordinateRange[] {
  return text.split("\n").flatMap((line) => {
    const [owner, start, count] = line.trim().split(":");
    if (owner !== String(uid) && (name === undefined || owner !== name)) return [];
    const range = { start: Number(start), count: Number(count) };
    return Number.isSafeInteger(range.start) && range.count > 0 ? [range] : [];
  });
}

/** The kernel takes 340 extents (user_namespaces(7)); one is the user's own. */
const MOST = 339;

/**
 * Arguments of newuidmap(1) after the pid: root inside is the user itself, 1 and up are its ranges, one behind
 * the other, as podman and buildah have it.
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

/** The ranges as those of a namespace, one behind the other from id 0 on. */
export function lineUp(ranges: readonly SubordinateRange[]): IdRange[] {
  let next = 0;
  return ranges.slice(0, MOST).map(({ start, count }) => {
    const range = { containerID: next, hostID: start, size: count };
    next += count;
    return range;
  });
}
