/** Unpacks a tar of a root tree, from a file or a stream. */

import type { Readable } from "node:stream";
import { UsageError, VeneerError } from "../errors.ts";
import { throwIfInterrupted } from "../process/interrupt.ts";
import type { Progress } from "../process/progress.ts";
import { formatAmount } from "../process/progress.ts";
import { openat, readSome } from "../sys/fd.ts";
import { AT_FDCWD, O_NONBLOCK, O_RDONLY, S_IFREG } from "../sys/flags.ts";
import { fstat, isType } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import { Omissions } from "../trees/omissions.ts";
import { unpackTar } from "./unpack-tar.ts";

export interface TreeOptions {
  readonly progress: Progress;
  /** receives a line about each kind of entry that is left out */
  readonly note: (line: string) => void;
  /** root owns every file */
  readonly squash?: boolean;
  /** aborts the work */
  readonly signal: AbortSignal;
}

/** Unpacks a tar file, compressed or not, to the existing, empty directory `tree`. Throws like {@link unpackTar}. */
export async function unpackFile(path: string, tree: string, options: TreeOptions): Promise<void> {
  // non-blocking, because a FIFO may have taken its place
  using fd = openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  const stat = fstat(fd.number);
  if (!isType(stat, S_IFREG)) throw new UsageError(`${quote(path)} is not a file`);
  const { size } = stat;
  let read = 0;
  options.progress.step("unpacking", () => {
    const share = read / Math.max(size, 1);
    return { text: `${Math.floor(100 * share)} %`, share };
  });
  await extract(
    (async function* () {
      for (;;) {
        const buffer = new Uint8Array(CHUNK);
        const length = readSome(fd.number, buffer, path);
        if (length === 0) return;
        read += length;
        yield buffer.subarray(0, length);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })(),
    tree,
    options,
  );
}

/** Unpacks a tar stream, compressed or not, like {@link unpackFile}. */
export async function unpackStream(stream: Readable, tree: string, options: TreeOptions): Promise<void> {
  let bytes = 0;
  options.progress.step("unpacking", () => formatAmount(bytes));
  const stop = () => stream.destroy();
  options.signal.addEventListener("abort", stop);
  try {
    await extract(
      (async function* () {
        for await (const chunk of stream) {
          bytes += chunk.length;
          yield chunk;
        }
        throwIfInterrupted(options.signal);
      })(),
      tree,
      options,
    );
  } catch (error) {
    // the stream ended because of the interrupt
    throwIfInterrupted(options.signal);
    throw error;
  } finally {
    options.signal.removeEventListener("abort", stop);
    // a writer that continues must not keep this process waiting
    stream.destroy();
  }
}

const CHUNK = 256 * 1024;

async function extract(stream: AsyncGenerator<Uint8Array>, tree: string, options: TreeOptions) {
  const omissions = new Omissions();
  let bytes = 0;
  const { entries } = await unpackTar(stream, tree, {
    markers: false,
    squash: options.squash ?? false,
    omissions,
    signal: options.signal,
    below: async () => [],
    see(piece) {
      bytes += piece.length;
    },
  });
  if (bytes === 0) {
    throw new VeneerError("EMPTY_ARCHIVE", "the archive is empty (0 bytes)", {
      hint: "did the program that writes it fail?",
    });
  }
  if (entries === 0) throw new VeneerError("EMPTY_ARCHIVE", "the archive holds no files");
  omissions.report(options.note);
}
