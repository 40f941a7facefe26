/** Unpacks one layer of an image from its blob, in a single pass that also checks its size and digests. */

import { VeneerError } from "../errors.ts";
import { throwIfInterrupted } from "../process/interrupt.ts";
import { type Fd, readSome } from "../sys/fd.ts";
import type { Omissions } from "../trees/omissions.ts";
import { checkDigest, type ImageDirectory } from "./layout.ts";
import type { Descriptor } from "./platform.ts";
import { type Unpacked, unpackTar } from "./unpack-tar.ts";

/** Bytes read and hashed before other work gets a turn. */
const CHUNK = 256 * 1024;

export interface LayerOptions {
  readonly squash: boolean;
  readonly omissions: Omissions;
  readonly signal: AbortSignal;
  /** resolves to the layers below, top first, once they are complete */
  readonly below: () => Promise<readonly Fd[]>;
  /** called with the number of bytes unpacked */
  readonly count: (bytes: number) => void;
  /** called with the number of bytes read from the blob */
  readonly countRead: (bytes: number) => void;
}

/**
 * Unpacks the blob of a layer to the existing, empty directory `tree`. On return the digests of the blob and of the
 * uncompressed archive (`diffId`) are verified. After an error the caller removes the tree. Throws BAD_IMAGE when a
 * digest does not match, and whatever {@link unpackTar} throws.
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
  const bytes = readBlob(fd, layer, blob, options);
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
    // when the blob is damaged, a wrong digest is a better error than the place where reading failed
    for await (const _ of readBlob(fd, layer, blob, options));
    checkDigest(layer.digest, blob.digest("hex"));
    throw error;
  }
  checkDigest(layer.digest, blob.digest("hex"));
  checkDigest(layer.diffId, content.digest("hex"));
  return unpacked;
}

/** Reads the rest of the blob. */
async function* readBlob(
  fd: Fd,
  { digest, size }: Descriptor,
  hash: Bun.CryptoHasher,
  { signal, countRead }: Pick<LayerOptions, "signal" | "countRead">,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  for (;;) {
    throwIfInterrupted(signal);
    // a new buffer each time, because a decompressor may still read the previous one
    const buffer = new Uint8Array(CHUNK);
    const length = readSome(fd.number, buffer, digest);
    if (length === 0) return;
    read += length;
    if (read > size) throw new VeneerError("BAD_IMAGE", `blob ${digest} grows while it is read`);
    countRead(length);
    const piece = buffer.subarray(0, length);
    hash.update(piece);
    yield piece;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
