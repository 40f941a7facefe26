/** Compares an upper with what it started with; reads by descriptor and follows no symbolic links. */

import { isWhiteout } from "../overlay/marks.ts";
import { type Found, listMerged, lookupName, xattrs } from "../overlay/merged-lookup.ts";
import { sameXattrs } from "../overlay/same-entry.ts";
import type { Timestamp, UpperEntry, XattrMap } from "../overlay/upper-entries.ts";
import { type Entry, entryPath } from "../overlay/walk.ts";
import type { Fd } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { isType } from "../sys/stat.ts";
import type { UpperFact } from "./changes.ts";
import { walkParts } from "./frozen-uppers-walk.ts";

/** The attributes of a directory that are compared. */
interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime?: Timestamp;
  readonly xattrs: XattrMap;
}

/** What the instance started with at a path: the base under a fresh upper. */
interface Start {
  readonly kind: "directory" | "other";
  /** the layers that merge in the directory; empty when it started empty */
  readonly layers: readonly Fd[];
  /** for a directory */
  readonly attributes?: () => Attributes;
  /** created with the fresh upper where the base has nothing */
  readonly made: boolean;
}

/**
 * Returns facts about every entry of an upper (its parts, top first) on `layers`, the root (path "") first. `fresh`
 * lists the entries of a fresh upper of the instance. Throws SysError, and TOO_DEEP.
 */
export function upperFacts(
  uppers: readonly string[],
  layers: readonly Fd[],
  fresh: readonly UpperEntry[],
): UpperFact[] {
  const started = new Map(fresh.map((entry) => [entry.path, entry]));
  const starts = new Map<string, Start | undefined>();
  const hidden = new Set<string>();
  const names = new Map<string, Set<string>>();
  const facts: UpperFact[] = [];
  const startOf = (path: string) => {
    const parent = parentOf(path);
    const above = parent === "" ? layers : (starts.get(parent)?.layers ?? []);
    return findStart(above, path, started.get(path));
  };
  walkParts(uppers, (entry) => {
    const { path, stat } = entry;
    const parent = parentOf(path);
    names.get(parent)?.add(entry.name);
    const start = startOf(path);
    const base = start ? { start: start.kind } : {};
    if (!isType(stat, S_IFDIR)) {
      facts.push({
        path,
        own: isWhiteout(stat, entryPath(entry)) ? "whiteout" : "other",
        ...base,
        same: false,
        gone: [],
      });
      return;
    }
    starts.set(path, start);
    if (hidden.has(parent) || start?.kind !== "directory" || entry.opaque) hidden.add(path);
    // of the original contents only those show that the upper has, too
    if (hidden.has(path) && start?.kind === "directory") names.set(path, new Set());
    const same = start?.attributes !== undefined && equal(start.attributes(), ownAttributes(entry));
    const shown = same && start?.made ? {} : base;
    facts.push({ path, own: "directory", ...shown, same, gone: [] });
  });
  return facts.map((fact) => {
    const kept = names.get(fact.path);
    if (!kept) return fact;
    const all = startNames(fact.path, starts.get(fact.path), started);
    return { ...fact, gone: all.filter((name) => !kept.has(name)) };
  });
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

function findStart(above: readonly Fd[], path: string, entry: UpperEntry | undefined): Start | undefined {
  if (entry?.kind === "whiteout") return undefined;
  const found = lookupName(above, path);
  if (entry) {
    const { mode, uid, gid, mtime } = entry;
    return {
      kind: "directory",
      layers: entry.kind === "merged" ? (found?.layers ?? []) : [],
      attributes: () => ({ mode, uid, gid, ...(mtime && { mtime }), xattrs: entry.xattrs ?? new Map() }),
      made: found === undefined,
    };
  }
  if (!found) return undefined;
  if (!isType(found.stat, S_IFDIR)) return { kind: "other", layers: [], made: false };
  return {
    kind: "directory",
    layers: found.layers,
    attributes: () => baseAttributes(path, found),
    made: false,
  };
}

function baseAttributes(path: string, { stat, layers }: Found): Attributes {
  const { mode, uid, gid, mtime } = stat;
  return { mode: mode & 0o7777, uid, gid, mtime, xattrs: xattrs(`${layers[0]?.path}/${path}`) };
}

function ownAttributes(entry: Entry): Attributes {
  const { mode, uid, gid, mtime } = entry.stat;
  return { mode: mode & 0o7777, uid, gid, mtime, xattrs: xattrs(entryPath(entry)) };
}

/** Compares times only when both are known. */
function equal(a: Attributes, b: Attributes): boolean {
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.xattrs.size !== b.xattrs.size)
    return false;
  const times = a.mtime && b.mtime && [a.mtime, b.mtime];
  if (times && (times[0]?.seconds !== times[1]?.seconds || times[0]?.nanoseconds !== times[1]?.nanoseconds)) {
    return false;
  }
  return sameXattrs(a.xattrs, b.xattrs);
}

/** The names that a directory contained at first. */
function startNames(
  path: string,
  start: Start | undefined,
  started: ReadonlyMap<string, UpperEntry>,
): string[] {
  if (!start || start.layers.length === 0) return [];
  return listMerged(start.layers, path).filter((name) => started.get(`${path}/${name}`)?.kind !== "whiteout");
}
