/** The options `--uidmap` and `--gidmap CONTAINER:HOST:SIZE`. */
import { UsageError } from "../errors.ts";
import type { IdMap, IdRange } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";

/** ids have 32 bits, and 4294967295 is not a valid id (user_namespaces(7)) */
const IDS = 0xffff_ffff;

/** Parses CONTAINER:HOST:SIZE. Throws UsageError. */
export function parseIdRange(text: string): IdRange {
  const [, containerID, hostID, size] = (/^([0-9]+):([0-9]+):([0-9]+)$/.exec(text) ?? []).map(Number);
  const range = { containerID: containerID ?? 0, hostID: hostID ?? 0, size: size ?? 0 };
  if (range.size > 0 && range.containerID + range.size <= IDS && range.hostID + range.size <= IDS)
    return range;
  throw new UsageError(
    `range of ids ${quote(text)} is not valid`,
    "write CONTAINER:HOST:SIZE, as in 0:100000:65536",
  );
}

/** The maps that options ask for; without maps for gids, those for uids apply to both. Throws UsageError. */
export function idMapOf(uids: readonly string[], gids: readonly string[]): IdMap | undefined {
  if (uids.length === 0 && gids.length === 0) return undefined;
  const map = { uids: uids.map(parseIdRange), gids: (gids.length > 0 ? gids : uids).map(parseIdRange) };
  for (const [option, ranges] of [
    ["--uidmap", map.uids],
    ["--gidmap", map.gids],
  ] as const) {
    if (ranges.some(({ containerID }) => containerID === 0)) continue;
    throw new UsageError(`${option} has no id for root`, `add ${option} 0:HOST:SIZE`);
  }
  return map;
}
