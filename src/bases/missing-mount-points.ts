/** A separate layer for mount points that a base lacks: in the upper they would become part of the next version. */
import type { PathFact, UpperEntry } from "../overlay/upper-entries.ts";

export interface MissingMountPoints {
  readonly entries: readonly UpperEntry[];
  /** empty files, made after the entries */
  readonly files: readonly string[];
}

/** Existing parents keep their attributes, since this layer's win; missing ones are 0755, root's. */
export function planMissingMountPoints(
  directories: readonly PathFact[],
  files: readonly PathFact[],
): MissingMountPoints {
  const entries = new Map<string, UpperEntry>();
  const add = (path: string) => {
    if (!entries.has(path)) entries.set(path, { path, kind: "merged", mode: 0o755, uid: 0, gid: 0 });
  };
  const missing = (facts: readonly PathFact[]) => facts.filter((fact) => fact.kind === "missing");
  for (const fact of [...missing(directories), ...missing(files)]) {
    for (const parent of fact.parents) {
      entries.set(parent.path, { ...parent, kind: "merged", mode: parent.mode & 0o7777 });
    }
    const parts = fact.path.split("/").slice(0, -1);
    parts.forEach((_, index) => {
      add(parts.slice(0, index + 1).join("/"));
    });
  }
  for (const fact of missing(directories)) add(fact.path);
  const sorted = [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  return { entries: sorted, files: missing(files).map((fact) => fact.path) };
}
