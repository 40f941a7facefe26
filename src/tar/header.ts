/**
 * Parses a header block of a tar (pax(1), "ustar Interchange Format"; "Basic Tar Format" in the manual of GNU tar).
 * Where tools differ, this follows Go's archive/tar, which Docker, podman, containerd and umoci use.
 */
import { VeneerError } from "../errors.ts";

/** Bytes in a block of a tar. */
export const BLOCK = 512;

export type EntryType =
  | "file"
  | "hard link"
  | "symbolic link"
  | "character device"
  | "block device"
  | "directory"
  | "fifo";

export interface TarHeader {
  readonly name: Uint8Array;
  /** the type flag, as a character, including `\0` */
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** number of bytes that follow in the archive, according to the header */
  readonly size: number;
  /** seconds */
  readonly mtime: number;
  readonly link: Uint8Array;
  readonly major: number;
  readonly minor: number;
}

/** Whether a block contains only zeros; such blocks end an archive. */
export function isZero(block: Uint8Array): boolean {
  for (const byte of block) if (byte !== 0) return false;
  return true;
}

/** Parses a header block. Throws BAD_TAR when it is not a header. */
export function parseHeader(block: Uint8Array): TarHeader {
  checkSum(block);
  const magic = String.fromCharCode(...block.subarray(257, 265));
  const prefix = magic === "ustar\x0000" ? prefixOf(block) : new Uint8Array(0);
  const hasDevice = magic.startsWith("ustar");
  const name = cut(block.subarray(0, 100));
  return {
    name: prefix.length === 0 ? name : join(prefix, name),
    type: String.fromCharCode(block[156] as number),
    mode: number(block, 100, 8),
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    size: number(block, 124, 12),
    mtime: number(block, 136, 12),
    link: cut(block.subarray(157, 257)),
    major: hasDevice ? number(block, 329, 8) : 0,
    minor: hasDevice ? number(block, 337, 8) : 0,
  };
}

/** The prefix of the name; star(1) stores times in the last bytes of the field. */
function prefixOf(block: Uint8Array): Uint8Array {
  const isStar = String.fromCharCode(...block.subarray(508, 512)) === "tar\0";
  return cut(block.subarray(345, isStar ? 476 : 500));
}

/** Checks the checksum; some old programs computed it with signed bytes. */
function checkSum(block: Uint8Array): void {
  let unsigned = 0;
  let signed = 0;
  for (let at = 0; at < BLOCK; at++) {
    const byte = at >= 148 && at < 156 ? 0x20 : (block[at] as number);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const expected = number(block, 148, 8);
  if (expected === unsigned || expected === signed) return;
  throw badTar("a header's checksum is wrong");
}

/** Copies a field up to the first NUL, because the reader reuses the block. */
export function cut(field: Uint8Array): Uint8Array {
  const end = field.indexOf(0);
  return field.slice(0, end < 0 ? field.length : end);
}

function join(prefix: Uint8Array, name: Uint8Array): Uint8Array {
  const whole = new Uint8Array(prefix.length + 1 + name.length);
  whole.set(prefix);
  whole[prefix.length] = 0x2f;
  whole.set(name, prefix.length + 1);
  return whole;
}

/** Parses a number in octal digits or, when the first bit is set, in binary (GNU's base 256). Throws BAD_TAR. */
export function number(block: Uint8Array, at: number, length: number): number {
  const first = block[at] as number;
  if ((first & 0x80) !== 0) return binary(block, at, length);
  const text = String.fromCharCode(...block.subarray(at, at + length)).replace(/^[ \0]+|[ \0]+$/g, "");
  // digits end at a NUL; ignore what follows
  const digits = text.split("\0", 1)[0] as string;
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw badTar("a header holds a number that is none");
  return Number.parseInt(digits, 8);
}

/** Parses two's complement without the highest bit of the first byte. */
function binary(block: Uint8Array, at: number, length: number): number {
  const first = block[at] as number;
  const isNegative = (first & 0x40) !== 0;
  let value = BigInt(isNegative ? (first & 0x7f) - 0x80 : first & 0x7f);
  for (let index = 1; index < length; index++) value = value * 256n + BigInt(block[at + index] as number);
  const result = Number(value);
  if (Number.isSafeInteger(result)) return result;
  throw badTar("a header holds a number that is too large");
}

/** Creates a BAD_TAR error. */
export function badTar(
  why: string,
  hint = "the archive is damaged, or not a tar: 'tar -tvf FILE' shows what it holds",
) {
  return new VeneerError("BAD_TAR", why, { hint });
}
