/** The contents of a fresh upper: opaque directories and whiteouts, with the parents that they need. */

export interface Timestamp {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

export type XattrMap = ReadonlyMap<string, Uint8Array>;

/** An entry of a fresh upper. Paths are relative; parents come before their contents. */
export interface UpperEntry {
  readonly path: string;
  /** `merged`: a directory that merges with the base's; `opaque`: a directory that hides the base's */
  readonly kind: "merged" | "opaque" | "whiteout";
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime?: Timestamp;
  readonly xattrs?: XattrMap;
}

export interface UpperRoot {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** includes ACLs */
  readonly xattrs?: XattrMap;
}

/** A directory of the base as the container would see it. */
export interface DirectoryFact {
  /** relative to the root */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
  readonly xattrs: XattrMap;
}

/** What the base has at a path. Symbolic links are resolved inside the root. */
export interface PathFact {
  /** the path as the caller gave it */
  readonly asked: string;
  /** relative, without symbolic links */
  readonly path: string;
  /** what the base has there */
  readonly kind: "directory" | "other" | "missing";
  /** existing parent directories, outermost first, without the root */
  readonly parents: readonly DirectoryFact[];
  /** the directory itself */
  readonly directory?: DirectoryFact;
}

const DEFAULT_MODES: Readonly<Record<string, number>> = { "/tmp": 0o1777, "/root": 0o700 };

/**
 * The entries for opaque and masked paths. An opaque path that is missing in the base is created (mode 0755, /tmp 1777,
 * /root 0700); one that is not a directory in the base is left as it is. A masked path that is missing needs no entry.
 */
export function upperEntries(opaque: readonly PathFact[], mask: readonly PathFact[]): UpperEntry[] {
  const entries = new Map<string, UpperEntry>();
  const addParents = (fact: PathFact) => {
    for (const parent of fact.parents)
      if (!entries.has(parent.path)) entries.set(parent.path, merged(parent));
  };
  for (const fact of opaque) {
    if (fact.kind === "other") continue;
    addParents(fact);
    for (const path of missingParents(fact)) {
      if (!entries.has(path)) entries.set(path, { path, kind: "merged", mode: 0o755, uid: 0, gid: 0 });
    }
    entries.set(fact.path, opaqueDirectory(fact));
  }
  for (const fact of mask) {
    if (fact.kind === "missing" || isBelowOpaque(fact.path, entries)) continue;
    addParents(fact);
    entries.set(fact.path, { path: fact.path, kind: "whiteout", mode: 0, uid: 0, gid: 0 });
  }
  const hasMaskedParent = (path: string) =>
    prefixes(path)
      .slice(0, -1)
      .some((prefix) => entries.get(prefix)?.kind === "whiteout");
  const sorted = [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return sorted.filter(({ path }) => !hasMaskedParent(path));
}

function merged(fact: DirectoryFact): UpperEntry {
  return { ...fact, kind: "merged", mode: fact.mode & 0o7777 };
}

function opaqueDirectory(fact: PathFact): UpperEntry {
  if (!fact.directory) {
    return { path: fact.path, kind: "opaque", mode: DEFAULT_MODES[fact.asked] ?? 0o755, uid: 0, gid: 0 };
  }
  const { path, mode, uid, gid, xattrs } = fact.directory;
  return { path, kind: "opaque", mode: mode & 0o7777, uid, gid, xattrs };
}

/** The missing parents of a missing path, outermost first. */
function missingParents(fact: PathFact): string[] {
  const parts = fact.path.split("/").slice(0, -1);
  const known = new Set(fact.parents.map((parent) => parent.path));
  return parts.map((_, index) => parts.slice(0, index + 1).join("/")).filter((path) => !known.has(path));
}

function isBelowOpaque(path: string, entries: ReadonlyMap<string, UpperEntry>): boolean {
  return prefixes(path).some((prefix) => entries.get(prefix)?.kind === "opaque");
}

function prefixes(path: string): string[] {
  const parts = path.split("/");
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}
