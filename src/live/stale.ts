/** What of a container is still on roots that it had before. */

import { remainsInUse } from "../inventory/former-roots.ts";
import type { UseRecord } from "../store/records.ts";
import { findStale, type StaleUse } from "./find-stale.ts";
import { findMembers } from "./processes.ts";
import { marksOf } from "./root-ids.ts";

/** What of the container whose first process is `init` is still on roots from before. */
export function staleOf(init: number, record: UseRecord): StaleUse[] {
  const remains = remainsInUse(record);
  if (remains.length === 0) return [];
  const { pids } = findMembers(init);
  return findStale(pids, marksOf(remains, init, pids));
}
