/** Reads exact numbers of bytes from a stream of chunks, without a copy when one chunk contains them all. */
import { VeneerError } from "../errors.ts";

export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  #ended = false;

  constructor(source: AsyncIterator<Uint8Array>) {
    this.#source = source;
  }

  /** Returns the next `length` bytes if they are here already, valid until the next call. Saves an event loop turn. */
  takeNow(length: number): Uint8Array | undefined {
    if (this.#chunk.length - this.#at < length) return undefined;
    this.#at += length;
    return this.#chunk.subarray(this.#at - length, this.#at);
  }

  /** Returns the next `length` bytes; undefined at the end of the stream. Throws TRUNCATED when it ends before that. */
  async take(length: number): Promise<Uint8Array | undefined> {
    const now = this.takeNow(length);
    if (now) return now;
    const whole = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const piece = await this.some(length - filled);
      if (!piece) {
        if (filled === 0) return undefined;
        throw truncated();
      }
      whole.set(piece, filled);
      filled += piece.length;
    }
    return whole;
  }

  /** Returns at least one and at most `most` bytes, valid until the next call; undefined at the end of the stream. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#at >= this.#chunk.length) {
      if (this.#ended) return undefined;
      const { value, done } = await this.#source.next();
      if (done) {
        this.#ended = true;
        return undefined;
      }
      this.#chunk = value;
      this.#at = 0;
    }
    const end = Math.min(this.#chunk.length, this.#at + most);
    const piece = this.#chunk.subarray(this.#at, end);
    this.#at = end;
    return piece;
  }

  /** Skips the next `length` bytes, or what there is of them. */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (!piece) return;
      left -= piece.length;
    }
  }

  /** Passes the next `length` bytes to `sink`, in pieces. Throws TRUNCATED when the stream ends before that. */
  async pass(length: number, sink: (piece: Uint8Array) => void): Promise<void> {
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (!piece) throw truncated();
      sink(piece);
      left -= piece.length;
    }
  }
}

function truncated(): VeneerError {
  return new VeneerError("TRUNCATED", "the archive ends in the middle of an entry", {
    hint: "the copy is incomplete: make or fetch it again",
  });
}
