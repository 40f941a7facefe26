/** Detects the compression of a tar stream by its first bytes, because file names are not reliable. */
import { isSkippable } from "./zstd-frames.ts";

export interface Compression {
  readonly name: "plain" | "gzip" | "xz" | "zstd" | "bzip2";
  /** the program that decompresses it; absent: none is needed */
  readonly program?: string;
}

const ZSTD: Compression = { name: "zstd", program: "zstd" };

const MAGIC: readonly (readonly [bytes: readonly number[], compression: Compression])[] = [
  [[0x1f, 0x8b], { name: "gzip", program: "gzip" }],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], { name: "xz", program: "xz" }],
  [[0x28, 0xb5, 0x2f, 0xfd], ZSTD],
  [[0x42, 0x5a, 0x68], { name: "bzip2", program: "bzip2" }],
];

/** The largest number of bytes that {@link detectCompression} looks at. */
export const MAGIC_LENGTH = 6;

/** Detects the compression from the first {@link MAGIC_LENGTH} bytes of a stream, or all of a shorter one. */
export function detectCompression(head: Uint8Array): Compression {
  const found = MAGIC.find(([bytes]) => bytes.every((byte, index) => head[index] === byte));
  if (found) return found[1];
  return head.length >= 4 && isSkippable(new DataView(head.buffer, head.byteOffset).getUint32(0, true))
    ? ZSTD
    : { name: "plain" };
}
