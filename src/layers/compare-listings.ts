/** Compares two listings of a tree. Pure. */

export interface Difference {
  /** escaped as in the listing */
  readonly path: string;
  /** `missing`, `added`, or the names of what changed: `mode`, `owner`, `size`, `time`, `content`, … */
  readonly what: readonly string[];
}

/** Compares lines `PATH KEY=VALUE…` with unique paths. Returns differences in the order of `before`, then new paths. */
export function compareListings(before: readonly string[], after: readonly string[]): Difference[] {
  const now = new Map(after.map((line) => [pathOf(line), line]));
  const differences: Difference[] = [];
  for (const line of before) {
    const path = pathOf(line);
    const other = now.get(path);
    now.delete(path);
    if (other === undefined) differences.push({ path, what: ["missing"] });
    else if (other !== line) differences.push({ path, what: changedKeys(line, other) });
  }
  for (const path of now.keys()) differences.push({ path, what: ["added"] });
  return differences;
}

/** Compares lines `HEX PATH`. Ignores files without a sum in `after`, which the listing reports as missing. */
export function compareSums(before: readonly string[], after: readonly string[]): Difference[] {
  const now = new Map(after.map((line) => [line.slice(65), line.slice(0, 64)]));
  return before.flatMap((line) => {
    const path = line.slice(65);
    const sum = now.get(path);
    return sum === undefined || sum === line.slice(0, 64) ? [] : [{ path, what: ["content"] }];
  });
}

function pathOf(line: string): string {
  return line.slice(0, line.indexOf(" "));
}

function changedKeys(before: string, after: string): string[] {
  const old = fields(before);
  const now = fields(after);
  const keys = new Set([...old.keys(), ...now.keys()]);
  return [...keys].filter((key) => old.get(key) !== now.get(key));
}

function fields(line: string): Map<string, string> {
  const pairs = line.split(" ").slice(1);
  return new Map(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}
