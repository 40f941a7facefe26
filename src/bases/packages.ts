/** The packages installed in a base version, read from its databases of dpkg, rpm and apk. */
import { Database } from "bun:sqlite";
import { VeneerError } from "../errors.ts";
import { expandAll, readMergedBytes } from "../overlay/merged-lookup.ts";
import type { BaseVersion } from "../store/bases.ts";
import { openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import { diffPackages, type PackageDiff, parseApk, parseDpkg, parseRpmHeader } from "./package-databases.ts";

/** Package versions by `name:architecture`. */
export type Packages = ReadonlyMap<string, string>;

/**
 * The largest databases that are read, in bytes: LIMIT for rpm, TEXT_LIMIT for dpkg and apk, whose databases are text.
 */
const LIMIT = 512 * 2 ** 20;
const TEXT_LIMIT = 64 * 2 ** 20;

const DPKG = ["/var/lib/dpkg/status", "/var/lib/dpkg/status.d/*"];
const APK = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];
const RPM = ["/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/rpmdb.sqlite"];

/** Undefined when the version has no database, or only one in a format we do not read (rpm's before SQLite). */
function readPackages(store: Store, base: BaseVersion): Packages | undefined {
  using layers = openLayers(store, base);
  const found = new Map<string, string>();
  let databases = 0;
  const read = (
    patterns: readonly string[],
    parse: (bytes: Uint8Array) => Iterable<readonly [string, string]>,
    limit = TEXT_LIMIT,
  ) => {
    for (const path of expandAll(layers.fds, patterns)) {
      const bytes = readMergedBytes(layers.fds, path, limit);
      if (!bytes) continue;
      databases++;
      for (const [name, version] of parse(bytes)) found.set(name, version);
    }
  };
  read(DPKG, (bytes) => parseDpkg(new TextDecoder().decode(bytes)));
  read(APK, (bytes) => parseApk(new TextDecoder().decode(bytes)));
  read(RPM, readRpm, LIMIT);
  return databases === 0 ? undefined : found;
}

function* readRpm(bytes: Uint8Array): Generator<readonly [string, string]> {
  try {
    // with write-ahead logging in the header SQLite wants a second file; 1 in both bytes says that there is no such log
    const copy = Buffer.from(bytes);
    copy[18] = 1;
    copy[19] = 1;
    using database = Database.deserialize(copy, true);
    database.run("PRAGMA trusted_schema = OFF");
    database.run("PRAGMA cell_size_check = ON");
    requirePlainTable(database);
    // a damaged file can yield endless rows
    let left = bytes.length;
    for (const { blob } of database.query<{ blob: Uint8Array }, []>("SELECT blob FROM Packages").iterate()) {
      left -= blob.length;
      if (left < 0) throw new Error("it holds more than its size");
      const entry = parseRpmHeader(blob);
      if (entry) yield entry;
    }
  } catch (cause) {
    throw new VeneerError("RPM_DATABASE", "read the database of rpm", { cause });
  }
}

/**
 * The table as rpm creates it (lib/backend/sqlite.c). Views and computed columns would run SQL that the image supplies.
 */
const PLAIN_TABLE =
  /^CREATE TABLE ['"]?Packages['"]? ?\(\s*hnum INTEGER PRIMARY KEY( AUTOINCREMENT)?,\s*blob BLOB NOT NULL\s*\)$/;

function requirePlainTable(database: Database): void {
  const tables = database
    .query<{ type: string; sql: string }, []>("SELECT type, sql FROM sqlite_schema WHERE name = 'Packages'")
    .all();
  if (tables.length === 1 && tables[0]?.type === "table" && PLAIN_TABLE.test(tables[0].sql)) return;
  throw new Error("its table of packages is not one that rpm makes");
}

/** The difference in packages between two versions; undefined when neither has a database. */
export function packagesBetween(
  store: Store,
  before: BaseVersion,
  after: BaseVersion,
): PackageDiff | undefined {
  const [old, now] = [readPackages(store, before), readPackages(store, after)];
  return old || now ? diffPackages(old ?? new Map(), now ?? new Map()) : undefined;
}
