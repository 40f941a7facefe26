/** The contents of a fresh upper on the tree of an image, for a container with a user namespace. */
import { VeneerError } from "../errors.ts";
import type { IdmappedTrees } from "../overlay/idmapped-trees.ts";
import { freshUpper, type UpperOptions } from "../store/open-layers.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { containerId } from "../userns/id-map.ts";

/**
 * Like {@link freshUpper}, for layers below the tree of an image. That tree has host ids, while those of a base have
 * plain ids. So reads all layers with host ids, and converts the results back to plain ids.
 */
export function freshUpperOfImage(
  { layers }: IdmappedTrees,
  map: IdMap | undefined,
  options: UpperOptions,
): ReturnType<typeof freshUpper> {
  if (!map) throw new VeneerError("NO_ID_MAP", "the maps of the container's user namespace are not known");
  const { root, entries } = freshUpper(layers, options);
  const plain = <T extends { readonly uid: number; readonly gid: number }>(fact: T): T => ({
    ...fact,
    uid: containerId(map.uids, fact.uid),
    gid: containerId(map.gids, fact.gid),
  });
  return { root: plain(root), entries: entries.map(plain) };
}
