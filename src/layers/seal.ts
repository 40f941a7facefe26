/** Describes a complete layer: a listing of its tree, and digests of its files where it is small. */
import { writeDocument } from "../store/document.ts";
import type { Layer, SealedLayer } from "../store/layers.ts";
import { fsync, openat, rename, uniqueSuffix, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY, S_IFREG } from "../sys/flags.ts";
import { isType } from "../sys/stat.ts";
import { listTree } from "./listing.ts";
import { listingFile, sumFiles, sumsFile } from "./sums.ts";

export interface SealOptions {
  /** what made it */
  readonly origin: string;
  /** default: a new random one; `sha256-…` of its diff_id for a layer of an image */
  readonly id?: string;
  /** default: of the listing */
  readonly digest?: string;
  /** default: all that the tree takes on disk; less for one that shares files with other layers */
  readonly bytes?: number;
  /** of these bytes, those of files that other layers have too */
  readonly shared?: number;
}

/** Bytes up to which a layer's files are digested when it is made: some 50 ms. A larger one's at its first verification. */
const SUM_AT_ONCE = 64 * 2 ** 20;

/**
 * Writes `listing` and `layer.json`, for a small layer `sums` too, beside `tree` in a directory on the store's
 * file system (a staging directory, say). The tree must not change any more. Takes about 10 s for a million
 * entries. What it writes is durable on return, the tree is not: {@link syncStore} or sync -f, before or after.
 * Idempotent.
 */
export function sealLayer(directory: string, options: SealOptions): SealedLayer {
  const lines: string[] = [];
  let content = 0;
  const { entries, bytes } = listTree(`${directory}/tree`, (_path, line, stat) => {
    // holes are read too: a sparse file may have any size
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

/** Publishes a file of lines, durable on return; returns its digest, `sha256:…`. */
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
