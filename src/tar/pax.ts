/** Parses the records of pax extended headers (pax(1), "pax Extended Header"), with values as bytes. */
import { decodeName } from "../text/file-names.ts";
import { badTar } from "./header.ts";

export type PaxRecords = Map<string, Uint8Array>;

const LINE_END = 0x0a;

/** Parses records; joins the GNU.sparse.offset and numbytes pairs of all extents to GNU.sparse.map. Throws BAD_TAR. */
export function parsePax(bytes: Uint8Array): PaxRecords {
  const records: PaxRecords = new Map();
  const map: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 || space - at > 10 ? Number.NaN : Number(latin1(bytes.subarray(at, space)));
    const end = at + length;
    const equals = bytes.indexOf(0x3d, space);
    if (!(end <= bytes.length) || equals < 0 || equals >= end || bytes[end - 1] !== LINE_END || length < 5) {
      throw badTar("an extended header is malformed");
    }
    const key = decodeName(bytes.subarray(space + 1, equals));
    const value = bytes.slice(equals + 1, end - 1);
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") map.push(latin1(value));
    else records.set(key, value);
    at = end;
  }
  if (map.length > 0) records.set("GNU.sparse.map", new TextEncoder().encode(map.join(",")));
  return records;
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/** A record as text without NUL; undefined when it is missing, or empty, which cancels an earlier record. */
export function paxText(records: PaxRecords, key: string): string | undefined {
  const value = records.get(key);
  if (value === undefined || value.length === 0) return undefined;
  if (value.includes(0)) throw badTar(`the record ${key} of an extended header holds a NUL`);
  return decodeName(value);
}

/** A record as an integer; undefined like {@link paxText}. Throws BAD_TAR when it is not an integer. */
export function paxNumber(records: PaxRecords, key: string): number | undefined {
  const text = paxText(records, key);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^-?[0-9]+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw badTar(`the record ${key} of an extended header is not a number`);
}

/** A record as a time: decimal seconds with up to nine decimals; undefined like {@link paxText}. */
export function paxTime(
  records: PaxRecords,
  key: string,
): { readonly seconds: bigint; readonly nanoseconds: number } | undefined {
  const text = paxText(records, key);
  if (text === undefined) return undefined;
  const found = /^(-?)([0-9]{1,18})(?:\.([0-9]*))?$/.exec(text);
  if (!found) throw badTar(`the record ${key} of an extended header is not a time`);
  const seconds = BigInt(found[2] as string);
  const nanoseconds = Number((found[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (found[1] === "") return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: -seconds, nanoseconds }
    : { seconds: -seconds - 1n, nanoseconds: 1_000_000_000 - nanoseconds };
}

const SCHILY = "SCHILY.xattr.";
const LIBARCHIVE = "LIBARCHIVE.xattr.";

/** The extended attributes in the records: raw from star and GNU tar, in base64 from libarchive. */
export function paxXattrs(records: PaxRecords): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const [key, value] of records) {
    if (key.startsWith(LIBARCHIVE)) {
      const bytes = decodeBase64(latin1(value));
      if (bytes) found.set(percentDecoded(key.slice(LIBARCHIVE.length)), bytes);
    }
  }
  for (const [key, value] of records) {
    // GNU tar escapes = and % in names, because the key of a record ends at the first =
    if (key.startsWith(SCHILY))
      found.set(key.slice(SCHILY.length).replaceAll("%3D", "=").replaceAll("%25", "%"), value);
  }
  return found;
}

function decodeBase64(text: string): Uint8Array | undefined {
  const padded = text.replace(/=+$/, "");
  return /^[A-Za-z0-9+/]*$/.test(padded) ? Buffer.from(padded, "base64") : undefined;
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)));
}
