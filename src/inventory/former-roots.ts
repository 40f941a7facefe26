/** The overlays that were the roots of containers before live rebases, as long as processes still use them. */
import { isUpperInUse } from "../store/mounts/in-use.ts";
import type { FormerRoot, UseRecord } from "../store/records.ts";

/** The former roots of a container that are still in use, as the kernel tells. */
export function formerRootsInUse(record: UseRecord, isInUse = isUpperInUse): FormerRoot[] {
  return (record.remains ?? []).filter(({ upper }) => isInUse(upper) || isInUse(movedUpper(upper)));
}

/** The path of the upper of part 0 after the parts above it were folded (`foldParts`). */
function movedUpper(upper: string): string {
  return upper.replace(/upper$/, "parts/0/upper");
}
