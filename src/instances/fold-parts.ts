/** Merges the parts below the top one while a running container uses them. */
import { withContext } from "../errors.ts";
import { type Parts, partUppers } from "../store/frozen-uppers.ts";
import { requireInstance, requireLock, writeInstance } from "../store/instances.ts";
import { paths, type Store } from "../store/paths.ts";
import { mkdirat, rename, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { Leftovers, layAll, never, syncUpper } from "./lay-parts.ts";

/**
 * Merges all parts but the top one, which an overlay may write to, into a tree of hard links that atomically replaces
 * part 0. The old parts remain for overlays that use them and for processes that still write through an earlier root;
 * {@link mergeInstance} merges them first, with the original part 0 at `parts/0`. Returns the parts for the new
 * definition; the stack shows the same before and after that is written. `directory` belongs to a generation or an
 * ephemeral upper. The caller holds the lock of the instance. Takes time in proportion to the entries of the lower
 * parts.
 */
export function foldParts(store: Store, directory: string, current: Parts): Parts {
  const { parts = 0, folded = 0 } = current;
  if (parts <= folded + 1) return current;
  const first = `${directory}/parts/0`;
  const known = lstatMaybe(first) !== undefined;
  const [cover, ...lower] = partUppers(directory, { parts });
  const sources = [...lower.slice(0, -1), known ? `${first}/upper` : `${directory}/upper`].reverse();
  const leftovers = new Leftovers();
  // not in staging, where `gc` would delete what the exchange leaves behind
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

/** Undoes {@link foldParts}: exchanges the original part 0 back. With all parts above, both show the same. */
export function unfold(directory: string): void {
  const first = `${directory}/parts/0`;
  if (!lstatMaybe(first)) return;
  rename(`${first}/upper`, `${directory}/upper`, RENAME_EXCHANGE);
  rename(first, `${directory}/parts/fold-${uniqueSuffix()}`);
}

/** Applies {@link foldParts} to an instance, which may be running, and updates its definition; durable on return. */
export function foldInstance(store: Store, id: string): void {
  using _lock = requireLock(store, id);
  const instance = requireInstance(store, id);
  const directory = paths.generation(store, id, instance.generation);
  writeInstance(store, id, { ...instance, ...foldParts(store, directory, instance) });
}
