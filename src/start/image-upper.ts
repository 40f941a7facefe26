/** What a fresh upper on the tree of an image holds, in a container with a user namespace. */
import { VeneerError } from "../errors.ts";
import type { IdmappedTrees } from "../overlay/idmapped-trees.ts";
import { freshUpper, type UpperOptions } from "../store/open-layers.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { containerId } from "../userns/id-map.ts";

/**
 * Like {@link freshUpper}, with plain ids: the topmost layer is an image's, whose files have the ids that the host
 * counts. So all layers are looked at with such ids, and what is found is counted back.
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
