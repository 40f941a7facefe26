/** What a fresh upper holds: opaque directories and whiteouts, with the parents that they need. */

export interface Timestamp {
  readonly seconds: bigint;
  readonly nanoseconds: number;
}

export type XattrMap = ReadonlyMap<string, Uint8Array>;

/** An entry of a fresh upper. Paths are relative; a parent comes before what is in it. */
export interface UpperEntry {
  readonly path: string;
  /** a directory merged with the base's, one that hides the base's, or a whiteout */
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
  /** ACLs among them */
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

/** What the base has at a path. Symbolic links on the way are resolved inside the root. */
export interface PathFact {
  /** as asked for */
  readonly asked: string;
  /** relative, without symbolic links */
  readonly path: string;
  /** what is there */
  readonly kind: "directory" | "other" | "missing";
  /** existing directories on the way, outermost first, without the root and the path itself */
  readonly parents: readonly DirectoryFact[];
  /** the directory itself */
  readonly directory?: DirectoryFact;
}

const DEFAULT_MODES: Readonly<Record<string, number>> = { "/tmp": 0o1777, "/root": 0o700 };

/**
 * Entries for the opaque and masked paths. A path that the base lacks is made for `opaque` (0755, /tmp 1777,
 * /root 0700) and needs nothing for `mask`; an opaque path that is no directory in the base is left as it is.
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

/** Parents of a missing path that are missing too, outermost first. */
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
