/** The changes of an instance. */
import { withContext } from "../errors.ts";
import { readVersion } from "../store/bases.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { checkInstanceDigest, refuseTmpfs, requireInstance } from "../store/instances.ts";
import { freshUpper, openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Change, changes } from "./changes.ts";
import { upperFacts } from "./upper-facts.ts";

/**
 * Compares the current generation with what the instance started with. A running instance may change during the
 * comparison. Throws when the upper is in memory.
 */
export function diffInstance(store: Store, id: string): Change[] {
  return withContext(`diff ${id}`, () => {
    const instance = requireInstance(store, id);
    refuseTmpfs(id, instance, "compare");
    const base = readVersion(store, { name: instance.base, version: instance.version });
    checkInstanceDigest(id, instance, base);
    using layers = openLayers(store, base);
    const uppers = partUppers(paths.generation(store, id, instance.generation), instance);
    return changes(upperFacts(uppers, layers.fds, freshUpper(layers.fds, instance).entries));
  });
}
