/** Parts below the highest merged while that is in use: the upper of a container that runs. */
import { withContext } from "../errors.ts";
import { type Parts, partUppers } from "../store/frozen-uppers.ts";
import { requireInstance, requireLock, writeInstance } from "../store/instances.ts";
import { paths, type Store } from "../store/paths.ts";
import { mkdirat, rename, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { Leftovers, layAll, never, syncUpper } from "./lay-parts.ts";

/**
 * Merges all parts but the highest, which an overlay may write to: a tree of links takes the place of part 0 in
 * one step. The parts stay for the overlays that have them, and for what a process on an earlier root still writes
 * there: {@link mergeInstance} begins with them, part 0 then being `parts/0`. Returns what the definition must say
 * from now on; until it does, the stack shows the same. `directory` is that of a generation or ephemeral upper; the
 * caller holds the instance's lock. Takes as long as the lower parts have entries.
 */
export function foldParts(store: Store, directory: string, current: Parts): Parts {
  const { parts = 0, folded = 0 } = current;
  if (parts <= folded + 1) return current;
  const first = `${directory}/parts/0`;
  const known = lstatMaybe(first) !== undefined;
  const [cover, ...lower] = partUppers(directory, { parts });
  const sources = [...lower.slice(0, -1), known ? `${first}/upper` : `${directory}/upper`].reverse();
  const leftovers = new Leftovers();
  // not in staging, from where `gc` would take what the exchange leaves there
  let place = `${directory}/parts/fold-${uniqueSuffix()}`;
  mkdirat(AT_FDCWD, place, 0o700);
  mkdirat(AT_FDCWD, `${place}/upper`, 0o700);
  withContext(`merge the ${sources.length} lower parts in ${directory}`, () =>
    layAll(store, sources, `${place}/upper`, leftovers, { stopped: never, cover }),
  );
  syncUpper(place);
  if (!known) {
    rename(place, first, RENAME_NOREPLACE);
    place = first;
  }
  rename(`${place}/upper`, `${directory}/upper`, RENAME_EXCHANGE);
  leftovers.delete();
  return { parts, folded: parts - 1 };
}

/** Makes the original part 0 that one again: with all parts above it, either shows the same. */
export function unfold(directory: string): void {
  const first = `${directory}/parts/0`;
  if (!lstatMaybe(first)) return;
  rename(`${first}/upper`, `${directory}/upper`, RENAME_EXCHANGE);
  rename(first, `${directory}/parts/fold-${uniqueSuffix()}`);
}

/** {@link foldParts} of an instance, which may run; durable. */
export function foldInstance(store: Store, id: string): void {
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  const directory = paths.generation(store, id, instance.generation);
  writeInstance(store, id, { ...instance, ...foldParts(store, directory, instance) });
}
