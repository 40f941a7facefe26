/** Makes a base, or the next version of one, from an image: each of its layers is a layer of the store. */

import { duringAsync, VeneerError } from "../errors.ts";
import { shortenLayers } from "../layers/flatten.ts";
import { type ImportOptions, requireOwners } from "../layers/owners.ts";
import { findSameLayer } from "../layers/same-layer.ts";
import { inParallel } from "../process/parallel.ts";
import { formatAmount, type Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import type { BaseVersion } from "../store/bases.ts";
import {
  hasLayer,
  lockLayers,
  makeLayerDirectory,
  publishLayer,
  type SealedLayer,
  sealLayer,
} from "../store/layers.ts";
import { makeStore, paths, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { publishVersion, type VersionContent } from "../store/versions.ts";
import { SysError } from "../sys/errno.ts";
import { explainStore } from "../sys/explain.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { geteuid } from "../sys/process.ts";
import { quote } from "../text/quote.ts";
import { fetchImage, type RegistryOptions } from "./fetch.ts";
import { HOST_ARCHITECTURE, type Image, type ImageDirectory, readImage } from "./layout.ts";
import type { ImageSource } from "./source.ts";
import { unpackLayer } from "./unpack-layer.ts";
import { completeDirectories, isBottom } from "./whiteouts.ts";

/** Unpacked at once: decompression keeps a processor busy, tar and the disk another. */
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
  /** it is unpacked: where, and which directories have no entry of their own */
  unpacked?: { readonly directory: string; readonly implied: readonly string[] };
  sealed?: SealedLayer;
}

/** What a version's manifest says of its origin. */
export function importedFrom(source: ImageSource): string {
  return `import of ${source.transport}${source.reference}`;
}

/**
 * Imports an image and publishes a version of `name` made of its layers; those that the store has are neither
 * unpacked nor kept twice. Whole or not at all, durable on return; nothing is published before every digest
 * has been checked. What was made is removed on failure and on SIGINT and SIGTERM; after a kill `gc` does it.
 */
export async function importImage(
  store: Store,
  name: string,
  source: ImageSource,
  options: ImportOptions & RegistryOptions,
): Promise<BaseVersion> {
  const from = `${source.transport}${source.reference}`;
  return duringAsync(`import ${name} from ${quote(from)}`, async () => {
    if (geteuid() !== 0) {
      throw new VeneerError("NOT_ROOT", "owners, devices and capabilities can be kept by root alone", {
        hint: "run as root",
      });
    }
    requireOwners(options.squash);
    makeStore(store);
    using staging = makeStaging(store);
    const { directory, tag } = await fetchImage(source, staging.path, {
      ...options,
      spared: (known) =>
        listParts(known, options.squash).flatMap((part) => (storedAs(store, part) ? [part.digest] : [])),
    });
    using image = directory;
    const described = readImage(image, tag);
    if (described.architecture !== HOST_ARCHITECTURE) {
      options.note(`veneer: the image is for ${quote(described.architecture)}, this machine is not`);
    }
    const parts = listParts(described, options.squash);
    for (;;) {
      await fill(store, image, parts, staging.path, options);
      // `gc` may have taken a layer that was counted on: then once more
      const content = {
        origin: importedFrom(source),
        config: described.config,
        candidate: options.candidate,
      };
      const version = await publish(store, name, parts, content, options.progress);
      if (version) return version;
    }
  });
}

/**
 * Bottom layer first. The same layer twice adds nothing: the upper one has all that the lower one shows, so
 * the lower ones go (overlayfs refuses a directory that is given twice). `own` is the diff_id; a layer that
 * leaves attributes of directories to those below has the ChainID of the image specification.
 */
function listParts(image: Image, squash = false): Part[] {
  let chain = "";
  // with other owners it is another layer
  const kind = squash ? "squashed-" : "";
  const parts = image.layers.map((layer): Part => {
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
    };
  });
  return parts.filter((part, index) => parts.findLastIndex(({ diffId }) => diffId === part.diffId) === index);
}

function storedAs(store: Store, part: Part): string | undefined {
  return [part.ids.own, part.ids.chain].find((id) => hasLayer(store, id));
}

async function fill(
  store: Store,
  image: ImageDirectory,
  parts: readonly Part[],
  staging: string,
  options: ImportOptions,
): Promise<void> {
  for (const part of parts) {
    const stored = storedAs(store, part);
    if (stored === undefined) delete part.stored;
    else part.stored = stored;
  }
  const missing = parts.filter((part) => part.stored === undefined && !part.sealed);
  let bytes = 0;
  let done = 0;
  options.progress.step("unpacking", () => `${done}/${missing.length} layers, ${formatAmount(bytes)}`);
  // large ones first, so that none is left alone at the end
  const queue = [...missing].sort((a, b) => b.size - a.size);
  await inParallel(AT_ONCE, queue, async (part) => {
    const directory = `${staging}/${parts.indexOf(part)}`;
    await duringAsync(`layer ${parts.indexOf(part) + 1} of ${parts.length}`, async () => {
      makeLayerDirectory(directory);
      const implied = await unpackLayer(image, part, `${directory}/tree`, options, (length) => {
        bytes += length;
      });
      part.unpacked = { directory, implied };
    });
    done++;
  });
  options.progress.step("listing and writing to disk");
  const flushed = runProgram("sync", ["-f", staging]);
  try {
    for (const part of missing) seal(store, parts, part);
    await flushed;
    if (missing.length > 0) await runProgram("sync", ["-f", staging]);
  } catch (error) {
    await flushed.catch(() => {});
    throw storeError(error);
  }
}

/** Bottom layers first: what a layer leaves open comes from those below it. */
function seal(store: Store, parts: readonly Part[], part: Part): void {
  const { directory, implied } = part.unpacked as NonNullable<Part["unpacked"]>;
  const below: Fd[] = [];
  try {
    if (implied.length > 0) {
      for (const lower of parts.slice(0, parts.indexOf(part)).reverse()) {
        below.push(openDirectory(treeOf(store, lower)));
      }
    }
    completeDirectories(`${directory}/tree`, implied, below);
  } finally {
    for (const fd of below) fd[Symbol.dispose]();
  }
  const id = implied.length > 0 ? part.ids.chain : part.ids.own;
  part.sealed = sealLayer(directory, { id, digest: part.diffId, origin: "layer of an image" });
}

function treeOf(store: Store, part: Part): string {
  if (part.stored !== undefined) return paths.layerTree(store, part.stored);
  return `${part.unpacked?.directory}/tree`;
}

/** Undefined when a layer that was counted on has gone meanwhile. */
async function publish(
  store: Store,
  name: string,
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
    const ids = parts.map((part) => part.stored ?? (part.sealed?.id as string));
    const bottom = Math.max(
      0,
      ids.findLastIndex((id) => isBottom(paths.layerTree(store, id))),
    );
    const refs = ids.slice(bottom).map((id) => ({ id }));
    // a kernel may not take as many layers as images can have
    const layers = await shortenLayers(store, refs.reverse(), progress);
    const { config, ...about } = content;
    return publishVersion(store, name, { layers, ...about, ...(config && { config }) });
  } catch (error) {
    throw storeError(error);
  }
}

function storeError(error: unknown): unknown {
  return error instanceof SysError
    ? new VeneerError("WRITE_FAILED", "write to the store", { cause: error, hint: explainStore(error.code) })
    : error;
}
