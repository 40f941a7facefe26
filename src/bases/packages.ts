/** Packages that a version has installed, as the databases of dpkg, rpm and apk in it say. */
import { Database } from "bun:sqlite";
import { VeneerError } from "../errors.ts";
import { expand, readMergedBytes } from "../overlay/merged-lookup.ts";
import type { BaseVersion } from "../store/bases.ts";
import { openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import { diffPackages, type PackageDiff, parseApk, parseDpkg, parseRpmHeader } from "./package-databases.ts";

/** Versions by `name:architecture`. */
export type Packages = ReadonlyMap<string, string>;

/** Larger databases are refused. */
const LIMIT = 512 * 2 ** 20;

const DPKG = ["/var/lib/dpkg/status", "/var/lib/dpkg/status.d/*"];
const APK = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
const RPM = ["/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite"];

/** Undefined where the version has no such database, or one of a form that is not read (rpm's before SQLite). */
function readPackages(store: Store, base: BaseVersion): Packages | undefined {
  using layers = openLayers(store, base);
  const found = new Map<string, string>();
  let databases = 0;
  const read = (
    patterns: readonly string[],
    parse: (bytes: Uint8Array) => Iterable<readonly [string, string]>,
  ) => {
    for (const path of patterns.flatMap((pattern) => expand(layers.fds, pattern))) {
      const bytes = readMergedBytes(layers.fds, path, LIMIT);
      if (!bytes) continue;
      databases++;
      for (const [name, version] of parse(bytes)) found.set(name, version);
    }
  };
  read(DPKG, (bytes) => parseDpkg(new TextDecoder().decode(bytes)));
  read(APK, (bytes) => parseApk(new TextDecoder().decode(bytes)));
  read(RPM, readRpm);
  return databases === 0 ? undefined : found;
}

function* readRpm(bytes: Uint8Array): Generator<readonly [string, string]> {
  try {
    // a database with a write-ahead log says so in its header, and needs a file of its own then
    const copy = Buffer.from(bytes);
    copy[18] = 1;
    copy[19] = 1;
    using database = Database.deserialize(copy, true);
    for (const { blob } of database.query("SELECT blob FROM Packages").all() as { blob: Uint8Array }[]) {
      const entry = parseRpmHeader(blob);
      if (entry) yield entry;
    }
  } catch (cause) {
    throw new VeneerError("RPM_DATABASE", "read the database of rpm", { cause });
  }
}

/** What differs in packages between two versions; undefined where neither has a database. */
export function packagesBetween(
  store: Store,
  before: BaseVersion,
  after: BaseVersion,
): PackageDiff | undefined {
  const [old, now] = [readPackages(store, before), readPackages(store, after)];
  return old || now ? diffPackages(old ?? new Map(), now ?? new Map()) : undefined;
}
