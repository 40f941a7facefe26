/** Versions of bases: list, change, remove. What a start needs of them is in bases.ts. */
import { VeneerError } from "../errors.ts";
import validateBase from "../generated/base.js";
import { isErrno } from "../sys/errno.ts";
import { type Fd, syncDirectory, unlinkQuietly } from "../sys/fd.ts";
import { LOCK_EX } from "../sys/flags.ts";
import { fstat, list, lstatMaybe } from "../sys/stat.ts";
import { formatBaseRef } from "../text/names.ts";
import { type BaseFile, type BaseVersion, type FailedVersion, lockBase, readVersion } from "./bases.ts";
import { readDocument, writeDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";

export function readBaseFile(store: Store, name: string): BaseFile | undefined {
  return readDocument<BaseFile>(paths.baseFile(store, name), validateBase);
}

/** The names of all bases, sorted. */
export function listBases(store: Store): string[] {
  return namesIn(paths.bases(store)).filter((name) => !name.startsWith("."));
}

/** The published versions of a base, lowest first; empty where there is no such base. */
export function listVersions(store: Store, name: string): number[] {
  const last = readBaseFile(store, name)?.last ?? Number.POSITIVE_INFINITY;
  return manifestNumbers(store, name).filter((version) => version <= last);
}

/** The numbers of all manifests, including those left by an interrupted publication. */
export function manifestNumbers(store: Store, name: string): number[] {
  return namesIn(paths.versions(store, name))
    .flatMap((file) => /^([1-9][0-9]*)\.json$/.exec(file)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Every published version of every base. Throws on a damaged manifest, because its layers are unknown. */
export function* allVersions(store: Store): Generator<BaseVersion> {
  for (const name of listBases(store)) {
    for (const version of listVersions(store, name)) {
      try {
        yield readVersion(store, { name, version });
      } catch (error) {
        // removed in the meantime
        if (!(error instanceof VeneerError && error.code === "NO_BASE")) throw error;
      }
    }
  }
}

/** Throws unless `version` is the current one of a base. */
export function requireCurrent(store: Store, name: string, version: number): void {
  const current = readBaseFile(store, name)?.current;
  if (current === version) return;
  const now = current === undefined ? "gone" : `at version ${current}`;
  throw new VeneerError("MOVED", `base ${name} is ${now}, no longer at version ${version}`);
}

/**
 * Locks a base for a change, after waiting for its starts and other changes; undefined where the base no longer exists.
 */
export function changeBase(store: Store, name: string): Fd | undefined {
  for (;;) {
    let lock: Fd;
    try {
      lock = lockBase(store, { name }, LOCK_EX);
    } catch (error) {
      if (error instanceof VeneerError && error.code === "NO_BASE") return undefined;
      throw error;
    }
    // while we waited, the base may have been removed and another created under its name
    if (lstatMaybe(paths.base(store, name))?.ino === fstat(lock.number).ino) return lock;
    lock[Symbol.dispose]();
  }
}

/** Makes a published version the current one, durable on return. The caller holds {@link changeBase}. */
export function setCurrent(store: Store, name: string, version: number): void {
  readVersion(store, { name, version });
  const last = listVersions(store, name).at(-1) as number;
  writeDocument(
    paths.baseFile(store, name),
    { last, ...readBaseFile(store, name), current: version },
    { sync: true },
  );
}

/** Records why a version failed its check, or with undefined that it is to be tried again. Durable on return. */
export function noteFailed(store: Store, name: string, version: number, why: string | undefined): void {
  using lock = changeBase(store, name);
  const base = lock && readBaseFile(store, name);
  if (!base) return;
  const { [version]: before, ...others } = base.failed ?? {};
  if (why === undefined && before === undefined) return;
  const failed = why === undefined ? others : { ...others, [version]: { at: new Date().toISOString(), why } };
  writeDocument(paths.baseFile(store, name), { ...base, failed }, { sync: true });
}

/** Records that an image shows what a version shows, and that no version was made of it. Durable on return. */
export function noteSeen(store: Store, name: string, origin: string, version: number): void {
  using lock = changeBase(store, name);
  const base = lock && readBaseFile(store, name);
  if (!base) return;
  writeDocument(paths.baseFile(store, name), { ...base, seen: { origin, version } }, { sync: true });
}

/** The recorded failure of a version; undefined where it has not failed its check. */
export function failureOf(store: Store, name: string, version: number): FailedVersion | undefined {
  return readBaseFile(store, name)?.failed?.[version];
}

/** Removes a version, durable on return. Throws when it is the current one. The caller holds {@link changeBase}. */
export function removeVersion(store: Store, name: string, version: number): void {
  if (readBaseFile(store, name)?.current === version) {
    throw new VeneerError(
      "CURRENT_VERSION",
      `${formatBaseRef({ name, version })} is the current version of ${name}`,
      {
        hint: `'veneer base use ${name}@OTHER' makes another the current one, 'veneer base rm ${name}' removes all`,
      },
    );
  }
  unlinkQuietly(paths.manifest(store, name, version));
  syncDirectory(paths.versions(store, name));
}

/** The names in a directory, sorted; empty where the directory does not exist. */
export function namesIn(directory: string): string[] {
  try {
    return list(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
