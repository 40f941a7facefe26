/** Encodes the header of a tar entry: ustar, after a pax header for values that do not fit (pax(1)). */
import { encodeName } from "../text/file-names.ts";
import { BLOCK, type EntryType } from "./header.ts";

export interface NewEntry {
  /** relative; without a trailing slash for directories */
  readonly name: string;
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: bigint; readonly nanoseconds: number };
  /** number of bytes that follow in the archive */
  readonly size: number;
  readonly link?: string;
  readonly major?: number;
  readonly minor?: number;
  /** additional records for the pax header */
  readonly records?: readonly (readonly [key: string, value: Uint8Array])[];
  /** for a sparse file in GNU's format 1.0: its size in bytes with holes; its data starts with the map */
  readonly sparse?: { readonly size: number };
}

const TYPES: Readonly<Record<EntryType, string>> = {
  file: "0",
  "hard link": "1",
  "symbolic link": "2",
  "character device": "3",
  "block device": "4",
  directory: "5",
  fifo: "6",
};

/** The limits of header fields: names in bytes, ids in 7 octal digits, sizes and times in 11. */
const NAME_FIELD = 100;
const MOST_ID = 0o7777777;
const MOST_SIZE = 0o77777777777;

const text = (value: string | number | bigint) => new TextEncoder().encode(String(value));

/** Encodes the header blocks of an entry; the same entry always gives the same bytes. */
export function encodeEntry(entry: NewEntry): Uint8Array {
  const name = encodeName(entry.type === "directory" ? `${entry.name}/` : entry.name);
  const link = encodeName(entry.link ?? "");
  const { seconds, nanoseconds } = entry.mtime;
  const hasTime = nanoseconds === 0 && seconds >= 0n && seconds <= BigInt(MOST_SIZE);
  const records: [string, Uint8Array][] = [];
  if (entry.sparse) {
    records.push(["GNU.sparse.major", text(1)], ["GNU.sparse.minor", text(0)]);
    records.push(["GNU.sparse.name", name], ["GNU.sparse.realsize", text(entry.sparse.size)]);
  } else if (name.length > NAME_FIELD) records.push(["path", name]);
  if (link.length > NAME_FIELD) records.push(["linkpath", link]);
  if (!hasTime) records.push(["mtime", text(timeText(seconds, nanoseconds))]);
  if (entry.uid > MOST_ID) records.push(["uid", text(entry.uid)]);
  if (entry.gid > MOST_ID) records.push(["gid", text(entry.gid)]);
  if (entry.size > MOST_SIZE) records.push(["size", text(entry.size)]);
  records.push(...((entry.records ?? []) as [string, Uint8Array][]));
  const shown = entry.sparse ? encodeName(inserted(entry.name, "GNUSparseFile.0")) : name;
  const header = block(entry, TYPES[entry.type], shown, link, entry.size);
  if (records.length === 0) return header;
  // declare names that are not UTF-8 as binary (pax(1), hdrcharset)
  const isBinary = !entry.name.isWellFormed() || entry.link?.isWellFormed() === false;
  if (isBinary) records.unshift(["hdrcharset", text("BINARY")]);
  const body = records.map(([key, value]) => record(encodeName(key), value));
  const length = body.reduce((sum, line) => sum + line.length, 0);
  const plain = { ...entry, mode: 0o644, uid: 0, gid: 0, major: 0, minor: 0 };
  const extended = block(
    plain,
    "x",
    encodeName(inserted(entry.name, "PaxHeaders")),
    new Uint8Array(0),
    length,
  );
  const whole = new Uint8Array(BLOCK + length + paddingOf(length) + BLOCK);
  whole.set(extended);
  let at = BLOCK;
  for (const line of body) {
    whole.set(line, at);
    at += line.length;
  }
  whole.set(header, whole.length - BLOCK);
  return whole;
}

/** The number of bytes that fill up data of `size` bytes to whole blocks. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** Inserts a directory before the last part of a path. */
function inserted(path: string, directory: string): string {
  const slash = path.lastIndexOf("/") + 1;
  return `${path.slice(0, slash)}${directory}/${path.slice(slash)}`;
}

/** Formats decimal seconds; before 1970, too, nanoseconds count forwards, so the fraction has to be converted. */
function timeText(seconds: bigint, nanoseconds: number): string {
  if (nanoseconds === 0) return `${seconds}`;
  const whole = seconds < 0n ? -seconds - 1n : seconds;
  const part = seconds < 0n ? 1_000_000_000 - nanoseconds : nanoseconds;
  return `${seconds < 0n ? "-" : ""}${whole}.${String(part).padStart(9, "0").replace(/0+$/, "")}`;
}

/** Encodes `LENGTH KEY=VALUE\n`, where the length includes its own digits. */
function record(key: Uint8Array, value: Uint8Array): Uint8Array {
  const rest = key.length + value.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  const line = new Uint8Array(length);
  const prefix = text(`${length} `);
  line.set(prefix);
  line.set(key, prefix.length);
  line[prefix.length + key.length] = 0x3d;
  line.set(value, prefix.length + key.length + 1);
  line[length - 1] = 0x0a;
  return line;
}

function block(entry: NewEntry, type: string, name: Uint8Array, link: Uint8Array, size: number): Uint8Array {
  const header = new Uint8Array(BLOCK);
  const octal = (value: number, at: number, length: number) => {
    const most = 8 ** (length - 1) - 1;
    const digits = Math.min(Math.max(value, 0), most).toString(8);
    header.set(text(digits.padStart(length - 1, "0")), at);
  };
  header.set(name.subarray(0, NAME_FIELD), 0);
  octal(entry.mode & 0o7777, 100, 8);
  octal(entry.uid > MOST_ID ? 0 : entry.uid, 108, 8);
  octal(entry.gid > MOST_ID ? 0 : entry.gid, 116, 8);
  octal(size > MOST_SIZE ? 0 : size, 124, 12);
  octal(Number(entry.mtime.seconds), 136, 12);
  header.set(text(type), 156);
  header.set(link.subarray(0, NAME_FIELD), 157);
  header.set(text("ustar\x0000"), 257);
  octal(entry.major ?? 0, 329, 8);
  octal(entry.minor ?? 0, 337, 8);
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(text(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  return header;
}
