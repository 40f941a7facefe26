/** Unpacks a tar to a tree, in one pass, with any compression. */

import { VeneerError } from "../errors.ts";
import { throwIfInterrupted } from "../process/interrupt.ts";
import { explainError } from "../sys/explain.ts";
import { ByteReader } from "../tar/byte-reader.ts";
import { decompressed } from "../tar/decompress.ts";
import { badTar } from "../tar/header.ts";
import { type TarEntry, TarReader } from "../tar/reader.ts";
import type { BuildOptions } from "./build-options.ts";
import { LayerBuilder } from "./layer-builder.ts";

/** The largest number of entries; archives with more are refused. */
const MOST_ENTRIES = 10_000_000;

export interface UnpackOptions extends BuildOptions {
  /** aborts the work */
  readonly signal: AbortSignal;
  /** called with each piece of the uncompressed archive */
  readonly see?: (piece: Uint8Array) => void;
}

export interface Unpacked {
  /** the tree has directories that take their attributes from layers below, or whiteouts for them */
  readonly dependsOnBelow: boolean;
  readonly entries: number;
}

/**
 * Unpacks a stream to the existing, empty directory `tree`, which the caller removes after an error. Reads the stream
 * to its end, also past the end of the archive. Throws BAD_TAR, TRUNCATED, BAD_COMPRESSION, BOMB, BAD_IMAGE, TOO_LARGE,
 * INTERRUPTED, and SysError or WRITE_FAILED when the file system of the tree fails.
 */
export async function unpackTar(
  stream: AsyncIterable<Uint8Array>,
  tree: string,
  options: UnpackOptions,
): Promise<Unpacked> {
  const seen = tap(decompressed(stream), options);
  try {
    const bytes = new ByteReader(seen);
    const reader = new TarReader(bytes, !options.markers);
    using builder = new LayerBuilder(tree, options);
    for (let entry = await first(reader); entry; entry = await reader.next()) {
      if (builder.entries === MOST_ENTRIES) {
        throw new VeneerError("TOO_LARGE", `the archive has more than ${MOST_ENTRIES} entries`);
      }
      await builder.apply(entry, reader);
    }
    // nothing but zeros so far: do not wait for the end of a stream that may never end
    if (builder.entries === 0 && !options.markers) return { dependsOnBelow: false, entries: 0 };
    while (await bytes.some(Number.POSITIVE_INFINITY));
    return { ...(await builder.finish()), entries: builder.entries };
  } catch (error) {
    const hint = explainError(error);
    throw hint === undefined
      ? error
      : new VeneerError("WRITE_FAILED", "write to the store", { cause: error, hint });
  } finally {
    await seen.return(undefined);
  }
}

async function first(reader: TarReader): Promise<TarEntry | undefined> {
  try {
    return await reader.next();
  } catch (error) {
    if (!(error instanceof VeneerError && ["BAD_TAR", "TRUNCATED"].includes(error.code))) throw error;
    throw badTar("this does not look like a tar archive");
  }
}

/** Checks `signal` on every piece: a small archive may expand to a large file and take long after it was read. */
async function* tap(
  source: AsyncIterable<Uint8Array>,
  { signal, see }: UnpackOptions,
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    throwIfInterrupted(signal);
    see?.(piece);
    yield piece;
  }
}
