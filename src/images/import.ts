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

/** Unpacked at once: decompression keeps a processor busy, hashing and the disk another. */
const AT_ONCE = 2;

/** A layer of the image on its way into the store. */
interface Part {
  readonly digest: string;
  readonly diffId: string;
  readonly size: number;
  /** ids that it may have in the store */
  readonly ids: { readonly own: string; readonly chain: string };
  /** it is in the store */
  stored?: string;
  /** it is unpacked: where, and whether it depends on the layers below it */
  unpacked?: { readonly directory: string; readonly dependsOnBelow: boolean };
  /** settles when it is stored or unpacked */
  ready: PromiseWithResolvers<void>;
  /** bytes of files that are one with those of other layers */
  shared?: number;
  sealed?: SealedLayer;
}

/** What a version's manifest says of its origin. */
export function importedFrom(source: ImageSource): string {
  return `import of ${source.transport}${source.reference}`;
}

/**
 * Imports an image and publishes a version of `name` made of its layers; those that the store has are neither
 * unpacked nor kept twice. Where it differs from the current version in little or nothing see {@link publishDifference}.
 * Whole or not at all, durable on return; nothing is published before every digest
 * has been checked. What was made is removed on failure and on SIGINT and SIGTERM; after a kill `gc` does it.
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
      // `gc` may have taken a layer that was counted on: then once more
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
 * Bottom layer first. `own` is the diff_id; a layer that depends on those below has the ChainID of the image
 * specification.
 */
function listParts(image: Image, squash = false): Part[] {
  let chain = "";
  // with other owners it is another layer
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

/** The trees of all layers that show anything, top first; none where one of them is gone. */
function treesOf(store: Store, parts: readonly Part[]): string[] {
  if (parts.some((part) => !part.unpacked && !hasLayer(store, part.stored ?? ""))) return [];
  const trees = parts.map((part) => treeOf(store, part)).reverse();
  const upper = trees.filter((tree, index) => trees.indexOf(tree) === index);
  const bottom = upper.findIndex(isBottom);
  return bottom < 0 ? upper : upper.slice(0, bottom + 1);
}

/** Returns the layers that are not in the store. */
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
  options.progress.step("unpacking", () => `${done}/${missing.length} layers, ${formatAmount(bytes)}`);
  const omissions = new Omissions();
  // bottom layers first: one that needs those below waits for them
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
        });
        part.unpacked = { directory, dependsOnBelow };
      });
      part.ready.resolve();
    } catch (error) {
      // those above that wait for it fail of the same
      part.ready.promise.catch(() => {});
      part.ready.reject(error);
      throw error;
    }
    done++;
  });
  omissions.report(options.note);
  return missing;
}

/** On disk on return. */
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

/** The layers below one, top first: open from when they are asked for to the end of the scope. */
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

/** An image may have no layers: a version has at least one. */
function publishNothing(store: Store, staging: string): string {
  const directory = `${staging}/nothing`;
  makeLayerDirectory(directory);
  const sealed = sealLayer(directory, { origin: "image without layers" });
  publishLayer(store, sealed);
  return sealed.id;
}

/** Undefined when a layer that was counted on has gone meanwhile. */
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
      // a version takes no layer twice
      const taken = parts.some((other) => other !== part && other.stored === same);
      if (same === undefined || taken) publishLayer(store, part.sealed);
      else part.stored = same;
    }
    const all = parts.map((part) => part.stored ?? (part.sealed?.id as string));
    // the same layer twice adds nothing: the upper one has all that the lower one shows, and overlayfs refuses it
    const ids = all.filter((id, index) => all.lastIndexOf(id) === index);
    const bottom = Math.max(
      0,
      ids.findLastIndex((id) => isBottom(paths.layerTree(store, id))),
    );
    if (ids.length === 0) ids.push(publishNothing(store, staging));
    const refs = ids.slice(bottom).map((id) => ({ id }));
    // a kernel may not take as many layers as images can have
    const layers = await shortenLayers(store, refs.reverse(), progress);
    const { config, ...about } = content;
    return publishVersion(store, name, { layers, ...about, ...(config && { config }) });
  } catch (error) {
    throw storeError(error);
  }
}

/** Whether a layer hides everything below it: its root is opaque, which overlayfs itself does not heed. */
function isBottom(tree: string): boolean {
  return isOpaque(`${tree}/.`);
}

function storeError(error: unknown): unknown {
  return error instanceof SysError
    ? new VeneerError("WRITE_FAILED", "write to the store", { cause: error, hint: explainStore(error.code) })
    : error;
}
