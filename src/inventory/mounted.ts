/** Tells which uppers are mounted. Reads once for many records; the hot path, which asks about one, does not use it. */

import { isUpperInUse } from "../store/mounts/in-use.ts";
import { isLive } from "../store/mounts/liveness.ts";
import { mountTables } from "../store/mounts/mount-tables.ts";
import type { UseRecord } from "../store/records.ts";
import { parseMountLine, upperOf } from "../sys/mountinfo.ts";
import { rootUppers } from "./root-processes.ts";

/**
 * Tells whether records and uppers are in use. What it has read goes stale: use it for one listing and then drop it.
 */
export interface LiveTest {
  isLive(record: UseRecord): boolean;
  isInUse(upper: string): boolean;
  /**
   * Whether the upper is mounted in an overlay that is not the root of any process: in a mount namespace that its
   * container has left, or that was copied from ours. Mount tables are only a hint; the kernel decides about uppers
   * that they show.
   */
  isLeftMounted(upper: string): boolean;
}

/**
 * Looks at the roots of processes first and probes only the remaining uppers ({@link isUpperInUse}), because each probe
 * leaves a line in the kernel log.
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

/** The upper directories that mount tables name. Not trustworthy: whoever mounts chooses this text. */
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
