/** What a fresh upper on the tree of an image holds, in a container with a user namespace. */
import { VeneerError } from "../errors.ts";
import { idmapped } from "../overlay/mount-idmapped.ts";
import { freshUpper, type OpenLayers, type UpperWishes } from "../store/open-layers.ts";
import type { UserNamespace } from "../userns/id-map.ts";
import { containerId } from "../userns/id-map.ts";

/**
 * Like {@link freshUpper}, with plain ids: the topmost layer is an image's, whose files have the ids that the host
 * counts. So all layers are looked at with such ids, and what is found is counted back.
 */
export function freshUpperOfImage(
  { fds, paths }: OpenLayers,
  { fd: userns, map }: UserNamespace,
  wishes: UpperWishes,
): ReturnType<typeof freshUpper> {
  if (!map) throw new VeneerError("NO_ID_MAP", "the maps of the container's user namespace are not known");
  const [image, ...own] = fds;
  const clones = own.map((layer, index) => idmapped(layer, userns, paths[index + 1] as string));
  try {
    const { root, entries } = freshUpper(image ? [image, ...clones] : clones, wishes);
    const plain = <T extends { readonly uid: number; readonly gid: number }>(fact: T): T => ({
      ...fact,
      uid: containerId(map.uids, fact.uid),
      gid: containerId(map.gids, fact.gid),
    });
    return { root: plain(root), entries: entries.map(plain) };
  } finally {
    for (const clone of clones) clone[Symbol.dispose]();
  }
}
