/** Overlays that live rebases took away from containers, as long as something is still on them. */
import { isUpperInUse } from "../store/mounts/in-use.ts";
import type { FormerRoot, UseRecord } from "../store/records.ts";

/** Those of a container whose overlay is still there; the kernel is asked. */
export function formerRootsInUse(record: UseRecord, isInUse = isUpperInUse): FormerRoot[] {
  return (record.remains ?? []).filter(({ upper }) => isInUse(upper) || isInUse(movedUpper(upper)));
}

/** Where the upper of part 0 is once the parts above it were folded into another (`foldParts`). */
function movedUpper(upper: string): string {
  return upper.replace(/upper$/, "parts/0/upper");
}
