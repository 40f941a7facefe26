/** Packs one layer of a base as a layer of an image. */

import { createWriteStream, renameSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { throwIfInterrupted } from "../process/interrupt.ts";
import type { Pipe } from "../process/pipe.ts";
import { startPipe, together } from "../process/pipe.ts";
import type { LayerRef } from "../store/bases.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Fd, openDirectory, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD } from "../sys/flags.ts";
import { cloneTree } from "../sys/mount.ts";
import { packTree } from "../trees/pack-tree.ts";
import type { Descriptor } from "./platform.ts";
import { toMarkers } from "./to-markers.ts";

export type LayerCompression = "gzip" | "zstd" | "none";

export interface ExportedLayer extends Descriptor {
  readonly mediaType: string;
  readonly diffId: string;
  /** number of sockets, which tar cannot hold */
  readonly sockets: number;
}

const COMPRESS: Readonly<Record<LayerCompression, readonly [suffix: string, ...command: string[]]>> = {
  gzip: ["+gzip", "gzip", "-n", "-c"],
  zstd: ["+zstd", "zstd", "-q", "-c"],
  none: [""],
};

/** An open layer, with the paths to leave out: the store itself, for a base in place that contains it. */
export interface LayerTree extends Disposable {
  readonly fd: Fd;
  readonly without: readonly string[];
  /** files may change while they are read */
  readonly inPlace: boolean;
}

/** Opens the tree of a layer; for a base in place, its own file system, also what other mounts hide there. */
export function openLayer(store: Store, layer: LayerRef): LayerTree {
  if ("id" in layer) {
    const fd = openDirectory(paths.layerTree(store, layer.id));
    return { fd, without: [], inPlace: false, [Symbol.dispose]: () => fd[Symbol.dispose]() };
  }
  const fd = cloneTree(AT_FDCWD, layer.path, false);
  return {
    fd,
    without: insideOf(store, layer.path),
    inPlace: true,
    [Symbol.dispose]: () => fd[Symbol.dispose](),
  };
}

/** The paths of the store that lie below a directory, relative to it. */
export function insideOf(store: Store, directory: string): string[] {
  const prefix = directory === "/" ? "/" : `${directory}/`;
  return [store.root, store.run]
    .filter((path) => path.startsWith(prefix))
    .map((path) => path.slice(prefix.length));
}

/**
 * Writes the blob of a layer into `blobs` under its digest; not durable yet. Calls `count` with the number of bytes
 * packed. The same tree gives the same bytes. Writes ACLs as raw extended attributes, like other image tools. Throws
 * INTERRUPTED when `signal` aborts.
 */
export async function exportLayer(
  tree: LayerTree,
  blobs: string,
  compression: LayerCompression,
  count: (bytes: number) => void,
  signal: AbortSignal,
): Promise<ExportedLayer> {
  const [suffix, compressor, ...flags] = COMPRESS[compression];
  const told = { sockets: 0 };
  const source = packTree(tree.fd, told, {
    aclTexts: false,
    without: new Set(tree.without),
    isLiving: tree.inPlace,
    translate: toMarkers,
  });
  const content = new Bun.CryptoHasher("sha256");
  const blob = new Bun.CryptoHasher("sha256");
  let size = 0;
  const part = `${blobs}/.${uniqueSuffix()}`;
  const packed = tap(source, (chunk) => {
    throwIfInterrupted(signal);
    content.update(chunk);
    count(chunk.length);
  });
  const write = (source: AsyncIterable<Uint8Array>) => {
    const seen = tap(source, (chunk) => {
      blob.update(chunk);
      size += chunk.length;
    });
    return pipeline(seen, createWriteStream(part, { mode: 0o644 }));
  };
  if (compressor === undefined) {
    await write(packed);
  } else {
    using compress = startPipe(compressor, flags, { stdin: "pipe" });
    const feed = pipeline(packed, compress.stdin as NonNullable<Pipe["stdin"]>);
    await together([compress], [feed, write(compress.stdout)]);
  }
  const digest = blob.digest("hex");
  renameSync(part, `${blobs}/${digest}`);
  return {
    mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}`,
    digest: `sha256:${digest}`,
    size,
    diffId: `sha256:${content.digest("hex")}`,
    sockets: told.sockets,
  };
}

async function* tap(source: AsyncIterable<Uint8Array>, see: (chunk: Uint8Array) => void) {
  for await (const chunk of source) {
    see(chunk);
    yield chunk;
  }
}
