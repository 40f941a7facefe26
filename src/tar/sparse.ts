/**
 * Reads the maps of sparse files in a tar: GNU's old format and its three formats with pax headers ("Storing Sparse
 * Files" in the manual of GNU tar).
 */
import type { ByteReader } from "./byte-reader.ts";
import { BLOCK, badTar, number } from "./header.ts";
import { type PaxRecords, paxNumber, paxText } from "./pax.ts";

export interface Extent {
  readonly offset: number;
  readonly length: number;
}

export interface SparseFile {
  /** bytes of the file, including holes */
  readonly size: number;
  /** in ascending order */
  readonly extents: readonly Extent[];
  /** bytes of the map, which precedes the data in the archive */
  readonly mapLength: number;
}

/** The largest number of extents; files with more are refused. */
const MOST_EXTENTS = 1_000_000;

/** Reads the map of an entry of type S, which may continue in further blocks. Throws BAD_TAR, TRUNCATED. */
export async function readGnuSparse(header: Uint8Array, reader: ByteReader): Promise<SparseFile> {
  const extents: Extent[] = [];
  const size = number(header, 483, 12);
  const read = (block: Uint8Array, at: number, count: number) => {
    for (let index = 0; index < count; index++, at += 24) {
      if (block[at] === 0) return;
      extents.push({ offset: number(block, at, 12), length: number(block, at + 12, 12) });
    }
  };
  read(header, 386, 4);
  for (let more = header[482] !== 0; more; ) {
    const block = await reader.take(BLOCK);
    if (!block || extents.length > MOST_EXTENTS)
      throw badTar("the map of a sparse file is incomplete or too long");
    read(block, 0, 21);
    more = block[504] !== 0;
  }
  return { size, extents, mapLength: 0 };
}

/**
 * Reads the map of a file that pax records describe as sparse; undefined when they do not. `physical`: its bytes in the
 * archive, from the header. Throws BAD_TAR, TRUNCATED.
 */
export async function readPaxSparse(
  records: PaxRecords,
  physical: number,
  reader: ByteReader,
): Promise<SparseFile | undefined> {
  const version = `${paxText(records, "GNU.sparse.major") ?? ""}.${paxText(records, "GNU.sparse.minor") ?? ""}`;
  const map = paxText(records, "GNU.sparse.map");
  const size = paxNumber(records, "GNU.sparse.size") ?? paxNumber(records, "GNU.sparse.realsize") ?? physical;
  if (version === "1.0") {
    const { numbers, mapLength } = await readMap(physical, reader);
    return { size, extents: toExtents(numbers), mapLength };
  }
  if ((version === "." || version === "0.0" || version === "0.1") && map !== undefined) {
    return { size, extents: toExtents(map.split(",").map(toNumber)), mapLength: 0 };
  }
  return undefined;
}

/** Reads version 1.0: lines with decimal numbers in blocks before the data; the first is the number of extents. */
async function readMap(physical: number, reader: ByteReader) {
  const numbers: number[] = [];
  let mapLength = 0;
  let line = "";
  for (let wanted = 1; numbers.length < wanted; ) {
    const block = mapLength + BLOCK > physical ? undefined : await reader.take(BLOCK);
    if (!block) throw badTar("the map of a sparse file is incomplete");
    mapLength += BLOCK;
    const lines = (line + String.fromCharCode(...block)).split("\n");
    line = lines.pop() as string;
    if (line.length > 2 * BLOCK) throw badTar("the map of a sparse file is malformed");
    for (const text of lines) {
      if (numbers.length >= wanted) break;
      numbers.push(toNumber(text));
      if (numbers.length > 1) continue;
      if ((numbers[0] as number) > MOST_EXTENTS) throw badTar("the map of a sparse file is too long");
      wanted = 1 + 2 * (numbers[0] as number);
    }
  }
  return { numbers: numbers.slice(1), mapLength };
}

function toNumber(text: string): number {
  if (/^[0-9]{1,16}$/.test(text)) return Number(text);
  throw badTar("the map of a sparse file is malformed");
}

function toExtents(numbers: readonly number[]): Extent[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MOST_EXTENTS) {
    throw badTar("the map of a sparse file is malformed");
  }
  const extents: Extent[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    extents.push({ offset: numbers[index] as number, length: numbers[index + 1] as number });
  }
  return extents;
}

/** Throws BAD_TAR when extents overlap, exceed the file, or do not add up to the data in the archive (bytes). */
export function checkSparse({ size, extents }: SparseFile, data: number): void {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of extents) {
    if (offset < end || offset + length > size) throw badTar("the map of a sparse file is wrong");
    end = offset + length;
    sum += length;
  }
  if (sum !== data) throw badTar("the map of a sparse file does not match its data");
}
