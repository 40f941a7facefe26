/** Versions of bases: listed, changed, removed. What a start needs of them is in bases.ts. */
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

/** Names of all bases, sorted. */
export function listBases(store: Store): string[] {
  return namesIn(paths.bases(store)).filter((name) => !name.startsWith("."));
}

/** Published versions of a base, lowest first; empty where there is no such base. */
export function listVersions(store: Store, name: string): number[] {
  const last = readBaseFile(store, name)?.last ?? Number.POSITIVE_INFINITY;
  return manifestNumbers(store, name).filter((version) => version <= last);
}

/** Numbers of all manifests, those of a publication that did not finish too. */
export function manifestNumbers(store: Store, name: string): number[] {
  return namesIn(paths.versions(store, name))
    .flatMap((file) => /^([1-9][0-9]*)\.json$/.exec(file)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Every published version of every base. A damaged manifest throws: what it needs is not known. */
export function* allVersions(store: Store): Generator<BaseVersion> {
  for (const name of listBases(store)) {
    for (const version of listVersions(store, name)) {
      try {
        yield readVersion(store, { name, version });
      } catch (error) {
        // removed while we looked
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
 * Takes a base for a change, waiting for starts and other changes of it; undefined where there is no such
 * base any more.
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
    // while we waited, the base may have gone to the trash and another have come in its place
    if (lstatMaybe(paths.base(store, name))?.ino === fstat(lock.number).ino) return lock;
    lock[Symbol.dispose]();
  }
}

/** Makes a published version the current one. The caller holds {@link changeBase}. Durable on return. */
export function setCurrent(store: Store, name: string, version: number): void {
  readVersion(store, { name, version });
  const last = listVersions(store, name).at(-1) as number;
  writeDocument(
    paths.baseFile(store, name),
    { last, ...readBaseFile(store, name), current: version },
    { sync: true },
  );
}

/** Notes that a version failed its check, or with undefined that it shall be tried again. Durable on return. */
export function noteFailed(store: Store, name: string, version: number, why: string | undefined): void {
  using lock = changeBase(store, name);
  const base = lock && readBaseFile(store, name);
  if (!base) return;
  const { [version]: before, ...others } = base.failed ?? {};
  if (why === undefined && before === undefined) return;
  const failed = why === undefined ? others : { ...others, [version]: { at: new Date().toISOString(), why } };
  writeDocument(paths.baseFile(store, name), { ...base, failed }, { sync: true });
}

/** What is noted of a version that failed its check. */
export function failureOf(store: Store, name: string, version: number): FailedVersion | undefined {
  return readBaseFile(store, name)?.failed?.[version];
}

/** Removes one version, which is not the current one. The caller holds {@link changeBase}. Durable on return. */
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

/** Names in a directory, sorted; none where it does not exist. */
export function namesIn(directory: string): string[] {
  try {
    return list(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
