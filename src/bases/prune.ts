/** Finds and removes versions of a base that are no longer needed. */
import { withContext } from "../errors.ts";
import { removeBase } from "../inventory/remove-base.ts";
import { listUses } from "../inventory/uses.ts";
import { readVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import { listVersions, readBaseFile } from "../store/versions.ts";
import { formatBaseRef } from "../text/names.ts";

export interface PruneOptions {
  /** versions that stay beside the current one, the newest of those below it; default 0 */
  readonly keep?: number | undefined;
  /** only what was made before this time, in milliseconds */
  readonly before?: number | undefined;
}

export interface Pruned {
  readonly version: number;
  /** absent: it is removed, or would be; else why it stays though it is old enough */
  readonly kept?: string;
}

/**
 * The versions that may be removed, lowest first: those that failed their check, and those below the current one that
 * are neither kept nor too young. For each that must stay, says who uses it. Throws where there is no such base.
 */
export function planPrune(store: Store, name: string, options: PruneOptions): Pruned[] {
  const current = readBaseFile(store, name)?.current ?? readVersion(store, { name }).version;
  const failed = readBaseFile(store, name)?.failed ?? {};
  const all = listVersions(store, name);
  const older = all.filter((version) => version < current && !failed[version]);
  const keep = options.keep ?? 0;
  const uses = listUses(store, name);
  const rejected = all.filter((version) => version !== current && failed[version]);
  const going = [...older.slice(0, Math.max(older.length - keep, 0)), ...rejected].sort((a, b) => a - b);
  return going.flatMap((version): Pruned[] => {
    const { created } = readVersion(store, { name, version }).manifest;
    if (options.before !== undefined && Date.parse(created) >= options.before) return [];
    const user = uses.find((use) => use.version === version);
    return [{ version, ...(user && { kept: `used by ${user.who}` }) }];
  });
}

/** Removes a version of a plan; returns what went to the trash. Throws when it has come into use in the meantime. */
export function pruneVersion(store: Store, name: string, version: number): string[] {
  return withContext(`remove ${formatBaseRef({ name, version })}`, () =>
    removeBase(store, { name, version }),
  );
}
