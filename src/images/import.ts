/** Makes a base, or the next version of one, from an image: each of its layers is a layer of the store. (More than 250 lines: fetching, unpacking in parallel and publishing share the list of parts.) */

import { VeneerError, withContextAsync } from "../errors.ts";
import { HOST_ARCHITECTURE } from "../images/platform.ts";
import { unpackLayer } from "../images/unpack-layer.ts";
import { shortenLayers } from "../layers/flatten.ts";
import type { ImportOptions } from "../layers/owners.ts";
import { requireOwners } from "../layers/owners.ts";
import { publishVersion, type VersionContent } from "../layers/publish-version.ts";
import type { Published } from "../layers/published.ts";
import { findSameLayer } from "../layers/same-layer.ts";
import { sealLayer } from "../layers/seal.ts";
import { shareNew } from "../layers/share-files.ts";
import { isOpaque } from "../overlay/marks.ts";
import { onInterrupt, throwIfInterrupted } from "../process/interrupt.ts";
import { inParallel } from "../process/parallel.ts";
import type { Progress } from "../process/progress.ts";
import { formatAmount } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import type { BaseVersion } from "../store/bases.ts";
import { hasLayer, lockLayers, makeLayerDirectory, publishLayer, type SealedLayer } from "../store/layers.ts";
import { makeStore, paths, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { SysError } from "../sys/errno.ts";
import { explainStore } from "../sys/explain.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { quote } from "../text/quote.ts";
import { Omissions } from "../trees/omissions.ts";
import { publishDifference } from "./difference.ts";
import type { RegistryOptions } from "./fetch.ts";
import { fetchImage } from "./fetch.ts";
import type { Image } from "./layout.ts";
import { type ImageDirectory, readImage } from "./layout.ts";
import type { ImageSource } from "./source.ts";

/** Layers unpacked at the same time: decompression keeps a processor busy, hashing and the disk another. */
const AT_ONCE = 2;

/** A layer of the image during the import. */
interface Part {
  readonly digest: string;
  readonly diffId: string;
  readonly size: number;
  /** the ids that it can have in the store */
  readonly ids: { readonly own: string; readonly chain: string };
  /** set once it is in the store: its id */
  stored?: string;
  /** set once it is unpacked: where, and whether it depends on the layers below it */
  unpacked?: { readonly directory: string; readonly dependsOnBelow: boolean };
  /** settles when it is stored or unpacked */
  ready: PromiseWithResolvers<void>;
  /** bytes of files that it shares with other layers */
  shared?: number;
  sealed?: SealedLayer;
}

/** The origin of an import, for the manifest of the version. */
export function importedFrom(source: ImageSource): string {
  return `import of ${source.transport}${source.reference}`;
}

/**
 * Imports an image and publishes its layers as a version of `name`. Reuses layers that are in the store already; see
 * {@link publishDifference} for images that differ little from the current version. Checks every digest before it
 * publishes anything. The version appears complete or not at all, and is durable on return. Cleans up on errors, SIGINT
 * and SIGTERM; after a kill `gc` does.
 */
export async function importImage(
  store: Store,
  name: string,
  source: ImageSource,
  options: ImportOptions & RegistryOptions,
): Promise<Published> {
  const from = `${source.transport}${source.reference}`;
  return withContextAsync(`import ${name} from ${quote(from)}`, async () => {
    requireOwners(options.squash);
    makeStore(store);
    using interrupt = onInterrupt();
    using staging = makeStaging(store);
    const { directory, tag } = await fetchImage(source, staging.path, {
      ...options,
      signal: interrupt.signal,
      spared: (known) =>
        listParts(known, options.squash).flatMap((part) => (storedAs(store, part) ? [part.digest] : [])),
    });
    using image = directory;
    const described = readImage(image, tag);
    if (described.architecture !== HOST_ARCHITECTURE) {
      options.note(`veneer: the image is for ${quote(described.architecture)}, this machine is not`);
    }
    const parts = listParts(described, options.squash);
    const all = { ...options, signal: interrupt.signal };
    const origin = importedFrom(source);
    for (;;) {
      const missing = await unpack(store, image, parts, staging.path, all);
      const trees = treesOf(store, parts);
      const fresh = missing.map((part) => treeOf(store, part));
      const unpacked = { trees, fresh, origin, config: described.config };
      const made = await publishDifference(store, name, unpacked, `${staging.path}/difference`, all);
      if (made) return made;
      await sealAll(store, missing, staging.path, all);
      // repeat when `gc` has removed a layer that this import relied on
      const content = {
        origin,
        config: described.config,
        candidate: options.candidate,
      };
      const version = await publish(store, name, staging.path, parts, content, options.progress);
      if (version) return version;
    }
  });
}

/**
 * The layers of the image, bottom layer first. A layer has an id from its diff_id (`own`), or from its ChainID (image
 * specification) when it depends on the layers below.
 */
function listParts(image: Image, squash = false): Part[] {
  let chain = "";
  // other owners make it a different layer
  const kind = squash ? "squashed-" : "";
  return image.layers.map((layer): Part => {
    chain =
      chain === ""
        ? layer.diffId
        : `sha256:${new Bun.CryptoHasher("sha256").update(`${chain} ${layer.diffId}`).digest("hex")}`;
    return {
      ...layer,
      ids: {
        own: kind + layer.diffId.replace(":", "-"),
        chain: kind + chain.replace("sha256:", "chain-"),
      },
      ready: Promise.withResolvers(),
    };
  });
}

function storedAs(store: Store, part: Part): string | undefined {
  return [part.ids.own, part.ids.chain].find((id) => hasLayer(store, id));
}

/** The trees of all layers that are visible, top first; none when one of them is gone. */
function treesOf(store: Store, parts: readonly Part[]): string[] {
  if (parts.some((part) => !part.unpacked && !hasLayer(store, part.stored ?? ""))) return [];
  const trees = parts.map((part) => treeOf(store, part)).reverse();
  const upper = trees.filter((tree, index) => trees.indexOf(tree) === index);
  const bottom = upper.findIndex(isBottom);
  return bottom < 0 ? upper : upper.slice(0, bottom + 1);
}

/** Unpacks the layers that are not in the store, and returns them. */
async function unpack(
  store: Store,
  image: ImageDirectory,
  parts: readonly Part[],
  staging: string,
  options: ImportOptions & { readonly signal: AbortSignal },
): Promise<readonly Part[]> {
  for (const part of parts) {
    const stored = storedAs(store, part);
    if (stored === undefined) delete part.stored;
    else part.stored = stored;
    if (stored !== undefined) part.ready.resolve();
  }
  const missing = parts.filter((part) => part.stored === undefined && !part.sealed);
  let bytes = 0;
  let done = 0;
  let read = 0;
  const all = missing.reduce((sum, { size }) => sum + size, 0);
  options.progress.step("unpacking", () => ({
    text: `${done}/${missing.length} layers, ${formatAmount(bytes)}`,
    share: read / Math.max(all, 1),
  }));
  const omissions = new Omissions();
  // bottom layers first, because a layer may wait for those below it
  await inParallel(AT_ONCE, missing, async (part) => {
    const index = parts.indexOf(part);
    const directory = `${staging}/${index}`;
    using below = new Below(store, parts.slice(0, index).reverse());
    try {
      await withContextAsync(`layer ${index + 1} of ${parts.length}`, async () => {
        makeLayerDirectory(directory);
        const { dependsOnBelow } = await unpackLayer(image, part, `${directory}/tree`, {
          squash: options.squash ?? false,
          omissions,
          signal: options.signal,
          below: () => below.open(),
          count(length) {
            bytes += length;
          },
          countRead(length) {
            read += length;
          },
        });
        part.unpacked = { directory, dependsOnBelow };
      });
      part.ready.resolve();
    } catch (error) {
      // layers above that wait for this one fail with the same error
      part.ready.promise.catch(() => {});
      part.ready.reject(error);
      throw error;
    }
    done++;
  });
  omissions.report(options.note);
  return missing;
}

/** Seals layers; they are durable on return. */
async function sealAll(
  store: Store,
  missing: readonly Part[],
  staging: string,
  options: ImportOptions & { readonly signal: AbortSignal },
): Promise<void> {
  for (const part of missing) {
    part.shared = shareNew(store, `${part.unpacked?.directory}/tree`, options.progress, options.shareFiles);
  }
  options.progress.step("listing and writing to disk");
  const flushed = runProgram("sync", ["-f", staging]);
  try {
    for (const part of missing) seal(part);
    await flushed;
    if (missing.length > 0) await runProgram("sync", ["-f", staging]);
    throwIfInterrupted(options.signal);
  } catch (error) {
    await flushed.catch(() => {});
    throw storeError(error);
  }
}

/** The layers below a layer, top first; opened on first use and closed at the end of the scope. */
class Below implements Disposable {
  #open: Promise<readonly Fd[]> | undefined;
  readonly #fds: Fd[] = [];

  constructor(
    readonly store: Store,
    readonly parts: readonly Part[],
  ) {}

  open(): Promise<readonly Fd[]> {
    this.#open ??= (async () => {
      for (const part of this.parts) await part.ready.promise;
      for (const part of this.parts) this.#fds.push(openDirectory(treeOf(this.store, part)));
      return this.#fds;
    })();
    return this.#open;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) fd[Symbol.dispose]();
  }
}

function seal(part: Part): void {
  const { directory, dependsOnBelow } = part.unpacked as NonNullable<Part["unpacked"]>;
  const id = dependsOnBelow ? part.ids.chain : part.ids.own;
  part.sealed = sealLayer(directory, {
    id,
    digest: part.diffId,
    origin: "layer of an image",
    ...(part.shared !== undefined && { shared: part.shared }),
  });
}

function treeOf(store: Store, part: Part): string {
  if (part.stored !== undefined) return paths.layerTree(store, part.stored);
  return `${part.unpacked?.directory}/tree`;
}

/** Publishes an empty layer, because an image may have no layers but a version has at least one. */
function publishNothing(store: Store, staging: string): string {
  const directory = `${staging}/nothing`;
  makeLayerDirectory(directory);
  const sealed = sealLayer(directory, { origin: "image without layers" });
  publishLayer(store, sealed);
  return sealed.id;
}

/** Publishes the version; undefined when a layer that it relied on has disappeared. */
async function publish(
  store: Store,
  name: string,
  staging: string,
  parts: readonly Part[],
  content: Pick<VersionContent, "origin" | "candidate"> & { readonly config: object | undefined },
  progress: Progress,
): Promise<BaseVersion | undefined> {
  try {
    using _lock = lockLayers(store);
    if (parts.some(({ sealed, stored }) => !sealed && !hasLayer(store, stored ?? ""))) return undefined;
    for (const part of parts) {
      if (!part.sealed) continue;
      const same = findSameLayer(store, part.sealed);
      // a version must not list a layer twice
      const taken = parts.some((other) => other !== part && other.stored === same);
      if (same === undefined || taken) publishLayer(store, part.sealed);
      else part.stored = same;
    }
    const all = parts.map((part) => part.stored ?? (part.sealed?.id as string));
    // drop lower repetitions of a layer: the upper one hides them, and overlayfs refuses the same layer twice
    const ids = all.filter((id, index) => all.lastIndexOf(id) === index);
    const bottom = Math.max(
      0,
      ids.findLastIndex((id) => isBottom(paths.layerTree(store, id))),
    );
    if (ids.length === 0) ids.push(publishNothing(store, staging));
    const refs = ids.slice(bottom).map((id) => ({ id }));
    // images can have more layers than the kernel supports
    const layers = await shortenLayers(store, refs.reverse(), progress);
    const { config, ...about } = content;
    return publishVersion(store, name, { layers, ...about, ...(config && { config }) });
  } catch (error) {
    throw storeError(error);
  }
}

/** Whether the root of a layer is opaque and so hides everything below, which overlayfs itself ignores. */
function isBottom(tree: string): boolean {
  return isOpaque(`${tree}/.`);
}

function storeError(error: unknown): unknown {
  return error instanceof SysError
    ? new VeneerError("WRITE_FAILED", "write to the store", { cause: error, hint: explainStore(error.code) })
    : error;
}
