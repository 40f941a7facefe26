/** Digests of the files of a layer: the file `sums` next to the tree, with a line `HEX PATH` for each regular file. */
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat2, openDirectory, readSome, readText } from "../sys/fd.ts";
import { O_NOATIME, O_NOFOLLOW, O_RDONLY, RESOLVE_EXACT } from "../sys/flags.ts";
import { unescapePath } from "./listing.ts";

/** Bytes; enough for the listings and sums of the largest layers, at about 250 bytes per entry. */
const LISTING_LIMIT = 2 ** 31;

export const listingFile = (directory: string) => `${directory}/listing`;
export const sumsFile = (directory: string) => `${directory}/sums`;

/** Reads the lines of a listing or of sums; undefined when the file does not exist. */
export function readLines(path: string): string[] | undefined {
  const text = readText(path, undefined, LISTING_LIMIT);
  return text?.split("\n").filter((line) => line !== "");
}

/**
 * Digests the regular files of a listing, hard-linked files once, and emits the line and size (in bytes) of each. The
 * `index`-th of `count` workers takes its share by size. Skips files that are gone or have another type.
 */
export function sumFiles(
  directory: string,
  listing: readonly string[],
  emit: (line: string, bytes: number) => void,
  worker = { index: 0, count: 1 },
): void {
  using tree = openDirectory(`${directory}/tree`);
  const load = new Array<number>(worker.count).fill(0);
  const buffer = new Uint8Array(1 << 18);
  for (const line of listing) {
    const match = /^(\S+) mode=100[0-7]+ \S+ size=([0-9]+)/.exec(line);
    if (!match) continue;
    const [, path = "", size = ""] = match;
    const least = load.indexOf(Math.min(...load));
    // the cost of a file in addition to its bytes
    load[least] = (load[least] as number) + Number(size) + 16384;
    if (least !== worker.index) continue;
    const digest = sumFile(tree, unescapePath(path), buffer);
    if (digest !== undefined) emit(`${digest} ${path}`, Number(size));
  }
}

function sumFile(tree: Fd, path: string, buffer: Uint8Array): string | undefined {
  const hash = new Bun.CryptoHasher("sha256");
  let file: Fd;
  try {
    const flags = O_RDONLY | O_NOFOLLOW | O_NOATIME;
    file = openat2(tree.number, path, flags, RESOLVE_EXACT);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO")) return undefined;
    throw error;
  }
  using _file = file;
  for (;;) {
    const count = readSome(file.number, buffer, path);
    if (count === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, count));
  }
}
