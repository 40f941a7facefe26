/** Unpacks one layer of an image from its blob, which is read once: size and digests are checked as it passes. */

import { VeneerError } from "../errors.ts";
import { throwIfInterrupted } from "../process/interrupt.ts";
import { type Fd, readSome } from "../sys/fd.ts";
import type { Omissions } from "../trees/omissions.ts";
import { checkDigest, type ImageDirectory } from "./layout.ts";
import type { Descriptor } from "./platform.ts";
import { type Unpacked, unpackTar } from "./unpack-tar.ts";

/** Bytes read and hashed at once before others get a turn. */
const CHUNK = 256 * 1024;

export interface LayerOptions {
  readonly squash: boolean;
  readonly omissions: Omissions;
  readonly signal: AbortSignal;
  /** the layers below, top first, when they are whole */
  readonly below: () => Promise<readonly Fd[]>;
  /** told of the bytes that have been unpacked */
  readonly count: (bytes: number) => void;
}

/**
 * Unpacks a layer's blob to `tree`, which exists and is empty. When this returns, the blob has its digest and what
 * came out of it the one that the image's config says (`diffId`); on a failure the tree is the caller's to remove.
 * Throws BAD_IMAGE where a digest is another, and what {@link unpackTar} throws.
 */
export async function unpackLayer(
  image: ImageDirectory,
  layer: Descriptor & { readonly diffId: string },
  tree: string,
  options: LayerOptions,
): Promise<Unpacked> {
  if (/encrypted/.test(layer.mediaType ?? "")) {
    throw new VeneerError("BAD_IMAGE", `layer ${layer.digest} is encrypted`);
  }
  using fd = image.openBlob(layer);
  const blob = new Bun.CryptoHasher("sha256");
  const content = new Bun.CryptoHasher("sha256");
  const bytes = readBlob(fd, layer, blob, options.signal);
  let unpacked: Unpacked;
  try {
    unpacked = await unpackTar(bytes, tree, {
      ...options,
      markers: true,
      see(piece) {
        content.update(piece);
        options.count(piece.length);
      },
    });
  } catch (error) {
    if (error instanceof VeneerError && error.code === "INTERRUPTED") throw error;
    // damage shows in the digest of the blob: that says more than where the damage was met
    for await (const _ of readBlob(fd, layer, blob, options.signal));
    checkDigest(layer.digest, blob.digest("hex"));
    throw error;
  }
  checkDigest(layer.digest, blob.digest("hex"));
  checkDigest(layer.diffId, content.digest("hex"));
  return unpacked;
}

/** What is left of the blob. */
async function* readBlob(
  fd: Fd,
  { digest, size }: Descriptor,
  hash: Bun.CryptoHasher,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  for (;;) {
    throwIfInterrupted(signal);
    // never the buffer of the piece before: a decompressor may still read that
    const buffer = new Uint8Array(CHUNK);
    const length = readSome(fd.number, buffer, digest);
    if (length === 0) return;
    read += length;
    if (read > size) throw new VeneerError("BAD_IMAGE", `blob ${digest} grows while it is read`);
    const piece = buffer.subarray(0, length);
    hash.update(piece);
    yield piece;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
