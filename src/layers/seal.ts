/** Seals a complete layer: writes a listing of its tree and, if it is small, digests of its files. */
import { writeDocument } from "../store/document.ts";
import type { Layer, SealedLayer } from "../store/layers.ts";
import { fsync, openat, rename, uniqueSuffix, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, S_IFREG } from "../sys/flags.ts";
import { isType } from "../sys/stat.ts";
import { listTree } from "./listing.ts";
import { listingFile, sumFiles, sumsFile } from "./sums.ts";

export interface SealOptions {
  /** where it comes from, for people to read */
  readonly origin: string;
  /** default: a new random id; for a layer of an image `sha256-…` of its diff_id */
  readonly id?: string;
  /** default: that of the listing */
  readonly digest?: string;
  /** default: the disk space of the whole tree; less for a layer that shares files with others */
  readonly bytes?: number;
  /** bytes of files that are shared with other layers */
  readonly shared?: number;
}

/**
 * Layers up to this many bytes get digests when they are made (about 50 ms), larger ones at their first verification.
 */
const SUM_AT_ONCE = 64 * 2 ** 20;

/**
 * Writes `listing` and `layer.json`, and `sums` for a small layer, next to `tree` in a directory on the file system of
 * the store, such as a staging directory. The tree must not change afterwards. Takes about 10 s for a million entries.
 * The written files are durable on return; the tree is not and needs {@link syncStore} or sync -f, before or after.
 * Idempotent.
 */
export function sealLayer(directory: string, options: SealOptions): SealedLayer {
  const lines: string[] = [];
  let content = 0;
  const { entries, bytes } = listTree(`${directory}/tree`, (_path, line, stat) => {
    // count holes too, because reading covers them: a sparse file may have any size
    if (isType(stat, S_IFREG)) content += stat.size;
    lines.push(line);
  });
  const listing = writeLines(listingFile(directory), lines);
  if (content <= SUM_AT_ONCE) {
    const sums: string[] = [];
    sumFiles(directory, lines, (line) => sums.push(line));
    writeLines(sumsFile(directory), sums);
  }
  const layer: Layer = {
    digest: options.digest ?? listing,
    listing,
    bytes: options.bytes ?? bytes - (options.shared ?? 0),
    ...(options.shared && { shared: options.shared }),
    entries,
    created: new Date().toISOString(),
    origin: options.origin,
  };
  writeDocument(`${directory}/layer.json`, layer, { sync: true });
  return { id: options.id ?? uniqueSuffix(), directory, layer };
}

/** Atomically writes a file of lines, durable on return; returns its digest, `sha256:…`. */
export function writeLines(path: string, lines: readonly string[]): string {
  const temporary = `${path}.${uniqueSuffix()}`;
  const hash = new Bun.CryptoHasher("sha256");
  const encoder = new TextEncoder();
  {
    using file = openat(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    for (let at = 0; at < lines.length; at += 1000) {
      const bytes = encoder.encode(`${lines.slice(at, at + 1000).join("\n")}\n`);
      hash.update(bytes);
      writeAll(file.number, bytes, temporary);
    }
    fsync(file.number, temporary);
  }
  rename(temporary, path);
  return `sha256:${hash.digest("hex")}`;
}
