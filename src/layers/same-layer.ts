/** Finds layers that the store has already under another id, from an earlier import or as the source of an export. */
import { readSoundLayer, type SealedLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { namesIn } from "../store/versions.ts";
import { openat } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import { compareTrees, isSame } from "./compare-trees.ts";

/**
 * Returns the id of a layer in the store with an identical tree; compares the listings first, then the contents of all
 * files. The caller holds the lock of the layers until a manifest names the layer.
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
