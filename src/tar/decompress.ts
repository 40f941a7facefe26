/** Decompresses a stream, whose first bytes tell the kind of compression. */
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { VeneerError } from "../errors.ts";
import { startPipe } from "../process/pipe.ts";
import { ProgramError } from "../process/run-program.ts";
import { detectCompression, MAGIC_LENGTH } from "./compression.ts";
import { DAMAGED, ZstdFrames } from "./zstd-frames.ts";

/** Bytes in a piece of a decompressor's output. */
const CHUNK = 256 * 1024;

/** Bytes. A stream may expand freely to this size, and above it at most a thousandfold, as only bombs expand more. */
const FREE = 4 * 2 ** 30;
const MOST_EXPANSION = 1000;

/**
 * Decompresses gzip, zstd, xz and bzip2, also with several members or frames, as zstd:chunked and pigz write them;
 * passes other data through. Reads the source to its end. Throws BAD_COMPRESSION when the data is damaged, and BOMB
 * when it expands too much.
 */
export async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  const { head, chunks } = await readHead(iterator);
  let taken = 0;
  const whole = (async function* () {
    for (const chunk of chunks) {
      taken += chunk.length;
      yield chunk;
    }
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
      taken += next.value.length;
      yield next.value;
    }
  })();
  const { name, program } = detectCompression(head);
  if (program === undefined) return yield* whole;
  let given = 0;
  for await (const chunk of name === "gzip" || name === "zstd"
    ? inflated(name, name === "zstd" ? framed(whole) : whole)
    : piped(program, whole)) {
    given += chunk.length;
    if (given > FREE && given > taken * MOST_EXPANSION) {
      throw new VeneerError(
        "BOMB",
        `${taken} compressed bytes expand to more than ${MOST_EXPANSION} times as many`,
        {
          hint: "contents larger than 4 GiB must not be compressed more than a thousandfold: pack them with less compression",
        },
      );
    }
    yield chunk;
  }
}

async function readHead(iterator: AsyncIterator<Uint8Array>) {
  const chunks: Uint8Array[] = [];
  let length = 0;
  while (length < MAGIC_LENGTH) {
    const { value, done } = await iterator.next();
    if (done) break;
    chunks.push(value);
    length += value.length;
  }
  const head = chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
  return { head, chunks };
}

async function* framed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const frames = new ZstdFrames();
  for await (const piece of source) {
    frames.look(piece);
    yield piece;
  }
  frames.end();
}

async function* inflated(
  name: "gzip" | "zstd",
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const options = { chunkSize: CHUNK };
  const stream = name === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  const input = Readable.from(source, { objectMode: false, highWaterMark: CHUNK });
  input.on("error", (error) => stream.destroy(error));
  input.pipe(stream);
  try {
    yield* stream as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (error instanceof VeneerError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new VeneerError("BAD_COMPRESSION", `the ${name} data cannot be read: ${why}`, {
      hint: DAMAGED,
    });
  } finally {
    input.destroy();
    stream.destroy();
  }
}

/** Decompresses xz and bzip2 with a program, because the JavaScript runtime does not support them. */
async function* piped(program: string, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  using pipe = startPipe(program, ["-d", "-c"], { stdin: "pipe" });
  const stdin = pipe.stdin as NonNullable<typeof pipe.stdin>;
  // a program that stops reading reports the reason itself
  stdin.on("error", () => {});
  const input = Readable.from(source, { objectMode: false });
  input.on("error", () => pipe.kill());
  input.pipe(stdin);
  try {
    yield* pipe.stdout as AsyncIterable<Uint8Array>;
    await pipe.ended.catch((error) => {
      if (!(error instanceof ProgramError)) throw error;
      throw new VeneerError("BAD_COMPRESSION", `the data cannot be read: ${error.message}`, {
        hint: DAMAGED,
      });
    });
  } finally {
    input.destroy();
  }
}
