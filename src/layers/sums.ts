/** Digests of the content of a layer's files: `sums` beside the tree, a line `HEX PATH` for each regular file. */
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat2, openDirectory, readSome, readText } from "../sys/fd.ts";
import { O_NOATIME, O_NOFOLLOW, O_RDONLY, RESOLVE_EXACT } from "../sys/flags.ts";
import { unescapePath } from "./listing.ts";

/** Listings and sums of the largest layers: some 250 bytes an entry. */
const LISTING_LIMIT = 2 ** 31;

export const listingFile = (directory: string) => `${directory}/listing`;
export const sumsFile = (directory: string) => `${directory}/sums`;

/** The lines of a listing or of sums; undefined where there is none. */
export function readLines(path: string): string[] | undefined {
  const text = readText(path, undefined, LISTING_LIMIT);
  return text?.split("\n").filter((line) => line !== "");
}

/**
 * Reads every regular file of a listing and emits its line and size, hard links once; of `count` workers the
 * `index`-th takes its share by size. A file that is gone or has become something else gets no line.
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
    // what a file costs besides its bytes
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
