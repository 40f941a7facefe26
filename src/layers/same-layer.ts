/** Layers that are in the store already, under another id: imported before, or what an export of this store was made of. */
import { readSoundLayer, type SealedLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { namesIn } from "../store/versions.ts";
import { openat } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import { compareTrees, isSame } from "./compare-trees.ts";

/**
 * The id of a layer of the store with the very same tree: listing, and then every file's content. The caller holds the
 * layers' lock until a manifest names it.
 */
export function findSameLayer(store: Store, { id, directory, layer }: SealedLayer): string | undefined {
  for (const other of namesIn(paths.layers(store))) {
    if (other === id || readSoundLayer(store, other)?.listing !== layer.listing) continue;
    using before = openat(AT_FDCWD, paths.layerTree(store, other), O_RDONLY | O_DIRECTORY);
    using after = openat(AT_FDCWD, `${directory}/tree`, O_RDONLY | O_DIRECTORY);
    const difference = compareTrees(before, after);
    if (difference && isSame(difference) && difference.touched.length === 0) return other;
  }
  return undefined;
}
