/**
 * Sparse files in a tar: where their data lies. GNU's own format and the three that it writes into pax headers
 * ("Storing Sparse Files" in the manual of GNU tar).
 */
import type { ByteReader } from "./byte-reader.ts";
import { BLOCK, badTar, number } from "./header.ts";
import { type PaxRecords, paxNumber, paxText } from "./pax.ts";

export interface Extent {
  readonly offset: number;
  readonly length: number;
}

export interface SparseFile {
  /** of the file, holes included */
  readonly size: number;
  /** ascending */
  readonly extents: readonly Extent[];
  /** bytes of the map, which precede the data in the archive */
  readonly mapLength: number;
}

/** More are refused. */
const MOST_EXTENTS = 1_000_000;

/** The map of an entry of type S, which may go on in further blocks. */
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

/** The map of a file that pax records describe as sparse; undefined where they do not. `physical`: as the header says. */
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

/** Version 1.0: decimal numbers, one a line, in blocks before the data; the first is the number of extents. */
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

/** Throws BAD_TAR where extents overlap, leave the file, or do not add up to the data that the archive has. */
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
