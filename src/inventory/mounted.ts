/** Which uppers are mounted, read once for many records. Not for the hot path, which asks about one. */

import { isUpperInUse } from "../store/mounts/in-use.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { mountTables } from "../store/mounts/mount-tables.ts";
import type { UseRecord } from "../store/records.ts";
import { parseMountLine, upperOf } from "../sys/mountinfo.ts";
import { rootUppers } from "./root-processes.ts";

/** Whether records and uppers are in use. What it has read goes stale: made for one listing, and not kept. */
export interface LiveTest {
  isLive(record: UseRecord): boolean;
  isInUse(upper: string): boolean;
  /**
   * Whether an overlay on it lives that no process has as its root: in a mount namespace that was left, or that
   * copied this one. Asks the kernel only about what some mount table shows, which is a hint and no proof.
   */
  isLeftMounted(upper: string): boolean;
}

/**
 * Each probe of an upper ({@link isUpperInUse}) leaves a line in the kernel's log; so the roots of processes are
 * looked at first, and the kernel is asked about the rest alone.
 */
export function makeLiveTest(): LiveTest {
  const isRoot = rootUppers();
  let shown: ReadonlySet<string> | undefined;
  return {
    isLive: (record) =>
      isLive(record, (upper) => isRoot(upper === record.upper ? record : { upper }) || isUpperInUse(upper)),
    isInUse: (upper) => isRoot({ upper }) || isUpperInUse(upper),
    isLeftMounted(upper) {
      shown ??= shownUppers();
      return shown.has(upper) && isUpperInUse(upper);
    },
  };
}

/** The upper directories that mount tables name: text, which anyone who mounts may choose. */
function shownUppers(): ReadonlySet<string> {
  const uppers = new Set<string>();
  for (const { table } of mountTables()) for (const upper of uppersOf(table)) uppers.add(upper);
  return uppers;
}

function* uppersOf(table: string): Generator<string> {
  for (const line of table.split("\n")) {
    if (!line.includes(" - overlay ")) continue;
    const upper = upperOf(parseMountLine(line)?.superOptions ?? "");
    if (upper !== undefined) yield upper;
  }
}
