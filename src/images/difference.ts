/**
 * Imports an image that differs little or not at all from the current version of a base, without keeping its layers.
 */
import { isSame } from "../layers/compare-trees.ts";
import { differenceFrom, markRemoved, openMerged, pathsOfDelta } from "../layers/delta.ts";
import type { ImportOptions } from "../layers/owners.ts";
import { currentVersion, isCurrent, publishTree } from "../layers/publish-tree.ts";
import { publishVersion } from "../layers/publish-version.ts";
import type { Published } from "../layers/published.ts";
import { measure } from "../overlay/walk.ts";
import { lockLayers, makeLayerDirectory } from "../store/layers.ts";
import type { Store } from "../store/paths.ts";
import { openAll } from "../sys/files/open-all.ts";
import { copyTree } from "../trees/copy-tree.ts";
import { Omissions } from "../trees/omissions.ts";

/** An image whose layers are unpacked or in the store. */
export interface UnpackedImage {
  /** the trees of its layers, top first */
  readonly trees: readonly string[];
  /** those among them that are not in the store yet */
  readonly fresh: readonly string[];
  readonly origin: string;
  readonly config: object | undefined;
}

/** The largest size of a difference layer, as a share of the size of the new layers of the image. */
const MOST = 0.5;
/** Bytes. When less can be saved, the layers of the image are kept, because other bases may share them. */
const LEAST = 2 ** 20;

/**
 * Publishes the image as a version of `name`: a layer with the differences on the layers of the current version, when
 * that takes less than the layers of the image. Publishes nothing when only times differ, unless `always`. Returns
 * undefined when the layers of the image are the better choice, or are gone. `directory` is a path in staging that does
 * not exist.
 */
export async function publishDifference(
  store: Store,
  name: string,
  { trees, fresh, origin, config }: UnpackedImage,
  directory: string,
  options: ImportOptions & { readonly signal: AbortSignal },
): Promise<Published | undefined> {
  // `gc` must not remove the layers of the version below before the new manifest names them
  using _layers = lockLayers(store);
  const current = options.whole ? undefined : currentVersion(store, name);
  if (!current || trees.length === 0) return undefined;
  options.progress.step("comparing");
  using opened = openAll(trees);
  using image = openMerged(opened.fds);
  const difference = differenceFrom(store, current, image);
  if (!difference) return undefined;
  const isOwn = Bun.deepEquals(config ?? {}, current.manifest.config ?? {});
  if (isSame(difference)) {
    if (!options.always && isOwn && isCurrent(store, current)) return { ...current, unchanged: true };
    const { layers, from } = current.manifest;
    const { candidate } = options;
    return publishVersion(store, name, {
      layers,
      origin,
      candidate,
      ...(config && { config }),
      ...(from && { from }),
    });
  }
  const whole = fresh.reduce((sum, tree) => sum + measure(tree).bytes, 0);
  const { different } = difference.bytes;
  if (different > whole * MOST || whole - different < LEAST) return undefined;
  makeLayerDirectory(directory);
  const tree = `${directory}/tree`;
  const { squash = false, signal } = options;
  const only = new Set(pathsOfDelta(difference));
  const omissions = new Omissions();
  await copyTree(`${image.path}/.`, tree, { squash, omissions, signal, only });
  markRemoved(tree, difference);
  return publishTree(store, name, directory, { origin, below: current, ...(config && { config }) }, options);
}
