/** Computes the changes of an instance as lines A, C and D from facts about its upper. Pure. */

/** An entry of an upper, compared with what the instance started with at its path. Paths are relative. */
export interface UpperFact {
  readonly path: string;
  readonly own: "whiteout" | "directory" | "other";
  /** what was there at first; absent: nothing */
  readonly start?: "directory" | "other";
  /** a directory whose attributes did not change */
  readonly same: boolean;
  /** names in the directory at first that no longer show */
  readonly gone: readonly string[];
}

/** added, changed, deleted */
export type Kind = "A" | "C" | "D";

export interface Change {
  readonly kind: Kind;
  /** absolute */
  readonly path: string;
}

/**
 * Returns the changes, sorted by path. As with `docker diff`, a directory in which anything changed counts as changed,
 * and a deleted directory stands for everything that was in it.
 */
export function changes(facts: readonly UpperFact[]): Change[] {
  const kinds = new Map<string, Kind>();
  for (const fact of facts) {
    const kind = kindOf(fact);
    if (kind) kinds.set(fact.path, kind);
    for (const name of fact.gone) kinds.set(fact.path === "" ? name : `${fact.path}/${name}`, "D");
  }
  for (const path of [...kinds.keys()]) {
    for (let slash = path.lastIndexOf("/"); slash > 0; slash = path.lastIndexOf("/", slash - 1)) {
      const parent = path.slice(0, slash);
      if (kinds.has(parent)) break;
      kinds.set(parent, "C");
    }
  }
  return sortByPath([...kinds].map(([path, kind]) => ({ kind, path: `/${path}` })));
}

/** A directory before its contents, and these before its siblings. The keys are made once: there may be millions. */
export function sortByPath(changes: readonly Change[]): Change[] {
  return changes
    .map((change) => ({ change, key: change.path.replaceAll("/", "\0") }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ change }) => change);
}

function kindOf({ path, own, start, same }: UpperFact): Kind | undefined {
  if (path === "") return undefined;
  if (own === "whiteout") return start && "D";
  if (start === undefined) return same ? undefined : "A";
  return own === "directory" && start === "directory" && same ? undefined : "C";
}
