/** What an upper hides of the change from one version to another. */

import { walkParts } from "../instances/frozen-uppers-walk.ts";
import { isWhiteout } from "../overlay/marks.ts";
import { type Found, listMerged, lookupName } from "../overlay/merged-lookup.ts";
import { type Located, sameEntry } from "../overlay/same-entry.ts";
import type { UpperEntry } from "../overlay/upper-entries.ts";
import type { Fd } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { fstat, isType } from "../sys/stat.ts";
import type { OwnFact } from "./conflicts.ts";

/** A directory of both versions: layers that merge there, none where a version has no such directory. */
interface Both {
  readonly before: readonly Fd[];
  readonly after: readonly Fd[];
}

/**
 * A fact for every entry of the upper (its parts, top first), and for every entry of the versions that a replaced
 * directory hides. What `fresh`, a fresh upper of the instance on the version after, hides or empties is intended,
 * and left out. Throws SysError, and VeneerError where the tree is too deep.
 */
export function rebaseFacts(
  uppers: readonly string[],
  before: readonly Fd[],
  after: readonly Fd[],
  fresh: readonly UpperEntry[],
): OwnFact[] {
  const meant = new Map(fresh.map((entry) => [entry.path, entry.kind]));
  const directories = new Map<string, Both>([["", { before, after }]]);
  const replaced = new Map<string, Set<string>>();
  const facts: OwnFact[] = [];
  walkParts(uppers, ({ path, name, stat, dir, opaque }) => {
    const parent = path.slice(0, Math.max(path.lastIndexOf("/"), 0));
    replaced.get(parent)?.add(name);
    const above = directories.get(parent) as Both;
    const [old, next] = [lookupName(above.before, path), lookupName(above.after, path)];
    if (isType(stat, S_IFDIR)) {
      const empty = meant.get(path) === "opaque";
      const layersOf = (found: Found | undefined) =>
        !empty && isType(found?.stat, S_IFDIR) ? (found as Found).layers : [];
      directories.set(path, { before: layersOf(old), after: layersOf(next) });
      if (replaced.has(parent) || opaque || !isType(next?.stat, S_IFDIR)) {
        replaced.set(path, new Set());
      }
    }
    if (meant.get(path) === "whiteout") return;
    facts.push(ownFact(path, { dir, path: name, stat }, old, next));
  });
  for (const [path, kept] of replaced) {
    facts.push(...hiddenFacts(path, directories.get(path) as Both, kept, meant));
  }
  return facts;
}

function ownFact(path: string, mine: Located, old: Found | undefined, next: Found | undefined): OwnFact {
  const own = isType(mine.stat, S_IFDIR)
    ? "directory"
    : isWhiteout(mine.stat, `/proc/self/fd/${mine.dir}/${mine.path}`)
      ? "whiteout"
      : "other";
  const unchanged = own === "whiteout" ? sameTree(path, old, next) : sameFound(path, old, next);
  return {
    path,
    own,
    before: old !== undefined,
    after: next !== undefined,
    unchanged,
    sameAsAfter: next !== undefined && !unchanged && sameEntry(mine, locate(path, next)),
  };
}

/** What a replaced directory hides counts as removed by the instance. */
function hiddenFacts(
  path: string,
  { before, after }: Both,
  kept: ReadonlySet<string>,
  meant: ReadonlyMap<string, string>,
): OwnFact[] {
  const names = new Set([...namesIn(before, path), ...namesIn(after, path)]);
  return [...names]
    .filter((name) => !kept.has(name) && meant.get(`${path}/${name}`) !== "whiteout")
    .map((name) => {
      const inner = `${path}/${name}`;
      const [old, next] = [lookupName(before, inner), lookupName(after, inner)];
      return {
        path: inner,
        own: "whiteout",
        before: old !== undefined,
        after: next !== undefined,
        unchanged: sameTree(inner, old, next),
        sameAsAfter: false,
      };
    });
}

function namesIn(layers: readonly Fd[], path: string): string[] {
  return layers.length === 0 ? [] : listMerged(layers, path);
}

function locate(path: string, { stat, layers }: Found): Located {
  return { dir: (layers[0] as Fd).number, path, stat };
}

function sameFound(path: string, old: Found | undefined, next: Found | undefined): boolean {
  if (!old || !next) return old === next;
  return sameEntry(locate(path, old), locate(path, next));
}

/** Like {@link sameFound}, with all that is in a directory. */
function sameTree(path: string, old: Found | undefined, next: Found | undefined): boolean {
  if (!old || !next) return old === next;
  if (!isType(old.stat, S_IFDIR) || !isType(next.stat, S_IFDIR)) return sameFound(path, old, next);
  if (sameLayers(old.layers, next.layers)) return true;
  if (!sameFound(path, old, next)) return false;
  const names = listMerged(old.layers, path);
  if (names.join("\0") !== listMerged(next.layers, path).join("\0")) return false;
  return names.every((name) => {
    const inner = `${path}/${name}`;
    return sameTree(inner, lookupName(old.layers, inner), lookupName(next.layers, inner));
  });
}

function sameLayers(a: readonly Fd[], b: readonly Fd[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((layer, index) => identity(layer) === identity(b[index] as Fd));
}

function identity(layer: Fd): string {
  const { dev, ino } = fstat(layer.number);
  return `${dev}/${ino}`;
}
