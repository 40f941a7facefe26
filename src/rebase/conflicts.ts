/** What a rebase hides: paths that both the instance and the base changed. Pure: facts in, conflicts out. */

/** What one side did to a path since the version that the instance stands on. */
export type Deed = "added" | "changed" | "removed";

/** An entry of the upper, and what the two versions have there. */
export interface OwnFact {
  /** relative */
  readonly path: string;
  readonly own: "whiteout" | "directory" | "other";
  /** the version before has something there */
  readonly before: boolean;
  /** the version after has something there */
  readonly after: boolean;
  /** both versions have the same there, attributes and content; of directories attributes alone */
  readonly unchanged: boolean;
  /** the upper has what the version after has, so nothing is hidden */
  readonly sameAsAfter: boolean;
}

export interface Conflict {
  /** absolute */
  readonly path: string;
  readonly own: Deed;
  readonly base: Deed;
  /** the package manager whose database this is part of */
  readonly database?: string;
}

/** Paths at which the upper hides, or keeps alive, a change between the two versions; sorted. */
export function conflicts(facts: readonly OwnFact[]): Conflict[] {
  return facts
    .filter((fact) => isConflict(fact))
    .map((fact): Conflict => {
      const path = `/${fact.path}`;
      const database = databaseOf(path);
      return {
        path,
        own: fact.own === "whiteout" ? "removed" : fact.before ? "changed" : "added",
        base: !fact.after ? "removed" : fact.before ? "changed" : "added",
        ...(database !== undefined && { database }),
      };
    })
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function isConflict({ own, before, after, unchanged, sameAsAfter }: OwnFact): boolean {
  if (before === after && (!before || unchanged)) return false;
  // what both removed, or what only one ever had and the other removed, is no loss
  if (own === "whiteout") return after;
  return !sameAsAfter;
}

/** Where package managers record what is installed. */
const DATABASES: readonly (readonly [string, string])[] = [
  ["/var/lib/dpkg", "dpkg"],
  ["/var/lib/rpm", "rpm"],
  ["/usr/lib/sysimage/rpm", "rpm"],
  ["/lib/apk/db", "apk"],
  ["/usr/lib/apk/db", "apk"],
  ["/var/lib/pacman/local", "pacman"],
];

function databaseOf(path: string): string | undefined {
  return DATABASES.find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`))?.[1];
}

/** A letter for each side, the instance's first: `CC /etc/passwd`. */
export function conflictLine({ path, own, base }: Conflict): string {
  const letter = { added: "A", changed: "C", removed: "D" } as const;
  return `${letter[own]}${letter[base]} ${path}`;
}

/** One sentence for each package database among the conflicts. `ref` is the version after. */
export function databaseWarnings(all: readonly Conflict[], ref: string): string[] {
  const first = new Map<string, string>();
  for (const { database, path } of all) {
    if (database !== undefined && !first.has(database)) first.set(database, path);
  }
  // the file that lists what is installed says more than the first in the alphabet
  if (first.has("dpkg") && all.some(({ path }) => path === "/var/lib/dpkg/status")) {
    first.set("dpkg", "/var/lib/dpkg/status");
  }
  return [...first].map(
    ([database, path]) =>
      `the package database of ${database} (${path}) is the instance's own: it does not know what ${ref} installed, upgraded or removed`,
  );
}
