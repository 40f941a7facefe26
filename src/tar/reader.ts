/** Reads a tar in one pass: ustar, pax, old and new GNU and star formats, as Go's archive/tar understands them. */
import { decodeName } from "../text/file-names.ts";
import type { ByteReader } from "./byte-reader.ts";
import { BLOCK, badTar, cut, type EntryType, isZero, parseHeader, type TarHeader } from "./header.ts";
import { type PaxRecords, parsePax, paxNumber, paxText, paxTime, paxXattrs } from "./pax.ts";
import { parseAcl } from "./posix-acl.ts";
import { checkSparse, type Extent, readGnuSparse, readPaxSparse } from "./sparse.ts";

export interface TarEntry {
  /** unchanged from the archive */
  readonly name: string;
  readonly type: EntryType;
  /** permission bits */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: { readonly seconds: bigint; readonly nanoseconds: number };
  /** bytes of a file, including holes */
  readonly size: number;
  readonly link: string;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
  /** the extents of the data of a sparse file; absent: it is not sparse */
  readonly extents?: readonly Extent[];
  /** number of ACLs that could not be parsed */
  readonly unreadAcls: number;
  /** user or group is the id -1, which leaves an owner as it is: root */
  readonly unowned: boolean;
}

const TYPES: Readonly<Record<string, EntryType>> = {
  "\0": "file",
  "0": "file",
  "1": "hard link",
  "2": "symbolic link",
  "3": "character device",
  "4": "block device",
  "5": "directory",
  "6": "fifo",
  "7": "file",
  S: "file",
};

/** Bytes. Larger extended headers and long names are refused, as Go's archive/tar does. */
const HEADER_LIMIT = 1 << 20;

const ACLS = { access: "system.posix_acl_access", default: "system.posix_acl_default" } as const;

export class TarReader {
  readonly #reader: ByteReader;
  readonly #useGlobal: boolean;
  #global: PaxRecords = new Map();
  #data = 0;
  #padding = 0;

  /** `useGlobal`: apply global extended headers, which readers of images ignore. */
  constructor(reader: ByteReader, useGlobal: boolean) {
    this.#reader = reader;
    this.#useGlobal = useGlobal;
  }

  /**
   * Reads the next entry; {@link pass} reads its data. Undefined at the end of the archive. Throws BAD_TAR, TRUNCATED.
   */
  async next(): Promise<TarEntry | undefined> {
    if (!this.passNow(() => {})) await this.pass(() => {});
    let records: PaxRecords | undefined;
    let longName: string | undefined;
    let longLink: string | undefined;
    for (;;) {
      const block = this.#reader.takeNow(BLOCK) ?? (await this.#reader.take(BLOCK));
      if (!block) return undefined;
      if (block[0] === 0 && isZero(block)) {
        const second = await this.#reader.take(BLOCK);
        if (!second || isZero(second)) return undefined;
        throw badTar("a header is empty");
      }
      const header = parseHeader(block);
      switch (header.type) {
        case "x":
          records = parsePax(await this.#special(header));
          break;
        case "g": {
          const global = parsePax(await this.#special(header));
          if (this.#useGlobal) this.#global = new Map([...this.#global, ...global]);
          break;
        }
        case "L":
          longName = decodeName(cut(await this.#special(header)));
          break;
        case "K":
          longLink = decodeName(cut(await this.#special(header)));
          break;
        case "V": // the label of a GNU volume
          break;
        default: {
          const all =
            this.#global.size === 0 ? (records ?? NONE) : new Map([...this.#global, ...(records ?? NONE)]);
          return this.#entry(header, header.type === "S" ? block.slice() : block, all, longName, longLink);
        }
      }
    }
  }

  /** Passes the rest of the entry's data to `sink`. Throws TRUNCATED. */
  async pass(sink: (piece: Uint8Array) => void): Promise<void> {
    const data = this.#data;
    this.#data = 0;
    if (data > 0) await this.#reader.pass(data, sink);
    const padding = this.#padding;
    this.#padding = 0;
    // an archive may end with its last byte of data, like one without blocks of zeros at its end
    if (padding > 0 && !this.#reader.takeNow(padding)) await this.#reader.skip(padding);
  }

  /** Like {@link pass} when all data is here already; otherwise does nothing and returns false. Saves a loop turn. */
  passNow(sink: (piece: Uint8Array) => void): boolean {
    const whole = this.#reader.takeNow(this.#data + this.#padding);
    if (!whole) return false;
    if (this.#data > 0) sink(whole.subarray(0, this.#data));
    this.#data = 0;
    this.#padding = 0;
    return true;
  }

  async #special(header: TarHeader): Promise<Uint8Array> {
    if (header.size < 0 || header.size > HEADER_LIMIT) {
      throw badTar(`an extended header has ${header.size} bytes (limit ${HEADER_LIMIT})`);
    }
    const bytes = header.size === 0 ? new Uint8Array(0) : (await this.#reader.take(header.size))?.slice();
    if (!bytes) throw badTar("an extended header is incomplete");
    await this.#reader.pass(paddingOf(header.size), () => {});
    return bytes;
  }

  async #entry(
    header: TarHeader,
    block: Uint8Array,
    records: PaxRecords,
    longName: string | undefined,
    longLink: string | undefined,
  ): Promise<TarEntry> {
    let name = longName ?? paxText(records, "path") ?? decodeName(header.name);
    const type = header.type === "\0" && name.endsWith("/") ? "directory" : TYPES[header.type];
    if (type === undefined) throw badTar(`an entry has the unknown type '${printable(header.type)}'`);
    // for other types the size is informative: no data follows
    const physical = type === "file" ? (paxNumber(records, "size") ?? header.size) : 0;
    if (physical < 0) throw badTar("a size is negative");
    let size = physical;
    let extents: readonly Extent[] | undefined;
    this.#data = physical;
    this.#padding = paddingOf(physical);
    if (type === "file") {
      const sparse =
        header.type === "S"
          ? await readGnuSparse(block, this.#reader)
          : records === NONE
            ? undefined
            : await readPaxSparse(records, physical, this.#reader);
      if (sparse) {
        name = paxText(records, "GNU.sparse.name") ?? name;
        this.#data = physical - sparse.mapLength;
        checkSparse(sparse, this.#data);
        ({ size, extents } = sparse);
      }
    }
    const xattrs = records === NONE ? NO_XATTRS : paxXattrs(records);
    let unreadAcls = 0;
    for (const kind of ["access", "default"] as const) {
      const text = records === NONE ? undefined : paxText(records, `SCHILY.acl.${kind}`);
      if (text === undefined || xattrs.has(ACLS[kind])) continue;
      const value = parseAcl(text);
      if (value) (xattrs as Map<string, Uint8Array>).set(ACLS[kind], value);
      else unreadAcls++;
    }
    const uid = id(paxNumber(records, "uid") ?? header.uid);
    const gid = id(paxNumber(records, "gid") ?? header.gid);
    return {
      name,
      type,
      mode: header.mode & 0o7777,
      uid: uid ?? 0,
      gid: gid ?? 0,
      mtime: paxTime(records, "mtime") ?? { seconds: BigInt(header.mtime), nanoseconds: 0 },
      size,
      link: longLink ?? paxText(records, "linkpath") ?? decodeName(header.link),
      major: header.major,
      minor: header.minor,
      xattrs,
      unreadAcls,
      unowned: uid === undefined || gid === undefined,
      ...(extents && { extents }),
    };
  }
}

const NONE: PaxRecords = new Map();
const NO_XATTRS: ReadonlyMap<string, Uint8Array> = new Map();

/** An id of 32 bits; undefined for the last one, -1, which chown(2) takes for "unchanged". Throws BAD_TAR. */
function id(value: number): number | undefined {
  const unsigned = value < 0 ? value + 2 ** 32 : value;
  if (unsigned === 0xffffffff) return undefined;
  if (unsigned >= 0 && unsigned < 0xffffffff) return unsigned;
  throw badTar(`an owner has the id ${value}`, "ids go from 0 to 4294967294");
}

function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function printable(type: string): string {
  return /^[!-~]$/.test(type) ? type : `\\x${type.charCodeAt(0).toString(16)}`;
}
