/** Writes one layer of a base as a layer of an image. */
import { createWriteStream, renameSync } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Pipe, startPipe, together } from "../process/pipe.ts";
import type { LayerRef } from "../store/bases.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Fd, mkdirat, openDirectory, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD } from "../sys/flags.ts";
import { cloneTree } from "../sys/mount.ts";
import type { Descriptor } from "./layout.ts";
import { listLayer, pathForOthers } from "./list-layer.ts";

export type LayerCompression = "gzip" | "zstd" | "none";

export interface ExportedLayer extends Descriptor {
  readonly mediaType: string;
  readonly diffId: string;
  /** entries that no tar can hold */
  readonly sockets: number;
}

/**
 * The same tree gives the same bytes: no time of access or process id in them. Holes stay holes in the form
 * that carries no process id. Attributes as the tools for images write them, ACLs among them; overlayfs's
 * own are what markers stand for.
 */
const CREATE = [
  "-c",
  "--no-recursion",
  "--format=pax",
  "-S",
  "--sparse-version=0.0",
  "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
  "--numeric-owner",
  "--xattrs",
  "--xattrs-include=*",
  "--xattrs-exclude=trusted.overlay.*",
  "--xattrs-exclude=user.overlay.*",
  "--xattrs-exclude=security.selinux",
  "--warning=no-file-changed",
  // ./a/b becomes a/b, but what symbolic links lead to stays
  "--transform=s,^\\./\\(.\\),\\1,S",
];

const COMPRESS: Readonly<Record<LayerCompression, readonly [suffix: string, ...command: string[]]>> = {
  gzip: ["+gzip", "gzip", "-n", "-c"],
  zstd: ["+zstd", "zstd", "-q", "-c"],
  none: [""],
};

/** Open, and what is left out of it: the store itself, for a base in place around it. */
export interface LayerTree extends Disposable {
  readonly fd: Fd;
  readonly without: readonly string[];
  /** a living directory: files may change while they are read */
  readonly inPlace: boolean;
}

/** A layer's tree, open; of a directory in place what is on its own file system, also below other mounts. */
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

/** What of the store lies below a directory, relative to that. */
export function insideOf(store: Store, directory: string): string[] {
  const prefix = directory === "/" ? "/" : `${directory}/`;
  return [store.root, store.run]
    .filter((path) => path.startsWith(prefix))
    .map((path) => path.slice(prefix.length));
}

/**
 * Writes a layer's blob into `blobs` under its digest; nothing is durable yet. `work`: an empty directory of
 * its own for this call, on any file system. `count` is told of the bytes that have been packed.
 */
export async function exportLayer(
  tree: LayerTree,
  blobs: string,
  work: string,
  compression: LayerCompression,
  count: (bytes: number) => void,
): Promise<ExportedLayer> {
  mkdirat(AT_FDCWD, `${work}/markers`, 0o700);
  using markers = openDirectory(`${work}/markers`);
  const sockets = listLayer(tree.fd, markers, `${work}/list`, tree.without);
  const [suffix, compressor, ...flags] = COMPRESS[compression];
  // status 1: a file changed as it was read, as files of a living system do
  using tar = startPipe(
    "tar",
    [...CREATE, "-C", pathForOthers(tree.fd), "-T", `${work}/list`, "-f", "-"],
    tree.inPlace ? { accept: [0, 1] } : {},
  );
  const content = new Bun.CryptoHasher("sha256");
  const blob = new Bun.CryptoHasher("sha256");
  let size = 0;
  const part = `${blobs}/.${uniqueSuffix()}`;
  const packed = tap(tar.stdout, (chunk) => {
    content.update(chunk);
    count(chunk.length);
  });
  const write = (source: Readable | AsyncIterable<Buffer>) => {
    const seen = tap(source, (chunk) => {
      blob.update(chunk);
      size += chunk.length;
    });
    return pipeline(seen, createWriteStream(part, { mode: 0o644 }));
  };
  if (compressor === undefined) {
    await together([tar], [write(packed)]);
  } else {
    using compress = startPipe(compressor, flags, { stdin: "pipe" });
    const feed = pipeline(packed, compress.stdin as NonNullable<Pipe["stdin"]>);
    await together([tar, compress], [feed, write(compress.stdout)]);
  }
  const digest = blob.digest("hex");
  renameSync(part, `${blobs}/${digest}`);
  return {
    mediaType: `application/vnd.oci.image.layer.v1.tar${suffix}`,
    digest: `sha256:${digest}`,
    size,
    diffId: `sha256:${content.digest("hex")}`,
    sockets,
  };
}

async function* tap(source: Readable | AsyncIterable<Buffer>, see: (chunk: Buffer) => void) {
  for await (const chunk of source) {
    see(chunk);
    yield chunk;
  }
}
