/** The structure of a zstd stream (RFC 8878, section 3.1), for what a decompressor does not report. */
import { VeneerError } from "../errors.ts";

const FRAME = 0xfd2fb528;
const BLOCK_HEADER = 3;
const CHECKSUM = 4;

/** Whether four bytes begin a frame that decompressors skip, such as the table of contents of zstd:chunked. */
export function isSkippable(magic: number): boolean {
  return (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
}

/**
 * Follows frames and blocks without decompressing them. A decompressor takes whatever begins no frame for the end of
 * the stream, and all that follows would be missing without a word.
 */
export class ZstdFrames {
  /** bytes before the next header */
  #skip = 0;
  #header: number[] = [];
  #wanted = 4;
  #parse: (header: readonly number[]) => void = this.#magic;
  #checksum = 0;

  /** Follows the next bytes of the stream. Throws BAD_COMPRESSION where a frame should begin and none does. */
  look(piece: Uint8Array): void {
    for (let at = 0; at < piece.length; ) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, piece.length - at);
        this.#skip -= step;
        at += step;
        continue;
      }
      this.#header.push(piece[at++] as number);
      if (this.#header.length === this.#wanted) this.#parse.call(this, this.#header);
    }
  }

  /** Checks that the stream ends where a frame does. Throws BAD_COMPRESSION. */
  end(): void {
    if (this.#skip > 0 || this.#header.length > 0 || this.#parse !== this.#magic)
      throw damaged("a frame is incomplete");
  }

  #expect(skip: number, wanted: number, parse: (header: readonly number[]) => void): void {
    this.#skip = skip;
    this.#header = [];
    this.#wanted = wanted;
    this.#parse = parse;
  }

  #magic(header: readonly number[]): void {
    const magic = littleEndian(header);
    if (magic === FRAME) this.#expect(0, 1, this.#descriptor);
    else if (isSkippable(magic)) this.#expect(0, 4, this.#skippable);
    else throw damaged("what follows a frame is none");
  }

  #skippable(header: readonly number[]): void {
    this.#expect(littleEndian(header), 4, this.#magic);
  }

  #descriptor([descriptor = 0]: readonly number[]): void {
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const size = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
    const dictionary = [0, 1, 2, 4][descriptor & 3] as number;
    this.#checksum = (descriptor & 4) !== 0 ? CHECKSUM : 0;
    this.#expect((isSingleSegment ? 0 : 1) + dictionary + size, BLOCK_HEADER, this.#block);
  }

  #block(header: readonly number[]): void {
    const value = littleEndian(header);
    // a block of one repeated byte has that byte alone
    const length = ((value >> 1) & 3) === 1 ? 1 : value >> 3;
    if ((value & 1) === 0) this.#expect(length, BLOCK_HEADER, this.#block);
    else this.#expect(length + this.#checksum, 4, this.#magic);
  }
}

function littleEndian(bytes: readonly number[]): number {
  return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
}

function damaged(why: string): VeneerError {
  return new VeneerError("BAD_COMPRESSION", `the zstd data cannot be read: ${why}`, { hint: DAMAGED });
}

export const DAMAGED = "the archive is damaged or incomplete: make or fetch it again";
