/** Carries out `setup` and `unsetup`: plans first, replaces files by rename, remembers their former contents. */
import { createTwoFilesPatch } from "diff";
import { makeStore, type Store } from "../store/paths.ts";
import { readJournal, removeJournal, writeJournal } from "../store/setup-journal.ts";
import { fchownat, mkdirs, readText, realPath, replaceFile, rmdirQuietly, unlink } from "../sys/fd.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../sys/flags.ts";
import { statMaybe } from "../sys/stat.ts";
import type { EngineSetup, SetupRequest } from "./engine.ts";

/** The present and the new text of a file; null: no file. */
export interface Edit {
  readonly path: string;
  readonly before: string | null;
  readonly after: string | null;
  /** only for `setup`: the present text without what an earlier `setup` added */
  readonly plain?: string | null;
  /** permissions of a new file */
  readonly mode?: number;
  /** the command that makes it take effect */
  readonly reload?: string;
}

/** What `setup` would change, without the files that are right already. Writes nothing. */
export function planSetup(store: Store, engine: EngineSetup, request: SetupRequest): Edit[] {
  const journal = readJournal(store, journalName(engine));
  return engine.changes(request).flatMap(({ path, add, remove, mode, reload }) => {
    const text = readText(path);
    const after = add(text);
    if (after === text) return [];
    const known = journal.files.find((file) => file.path === path);
    const plain = text === undefined ? null : (remove(text, known?.before) ?? null);
    const more = { ...(mode !== undefined && { mode }), ...(reload !== undefined && { reload }) };
    return [{ path, before: text ?? null, after, plain, ...more }];
  });
}

/**
 * What `unsetup` would change. A file that is still as `setup` left it becomes what it was before, byte for byte; from
 * a file that was edited since, only what `setup` added is removed.
 */
export function planUnsetup(store: Store, engine: EngineSetup, request: SetupRequest): Edit[] {
  const journal = readJournal(store, journalName(engine));
  return engine.changes(request).flatMap(({ path, remove, reload }) => {
    const text = readText(path);
    if (text === undefined) return [];
    const known = journal.files.find((file) => file.path === path);
    const after = known?.after === text ? known.before : (remove(text, known?.before) ?? null);
    return after === text ? [] : [{ path, before: text, after, ...(reload !== undefined && { reload }) }];
  });
}

/** Writes the files, each atomically, and keeps their text from before the first `setup` for `unsetup`. Idempotent. */
export function carryOutSetup(store: Store, engine: EngineSetup, edits: readonly Edit[]): void {
  makeStore(store);
  const known = readJournal(store, journalName(engine)).files;
  const files = edits.map(({ path, before, after, plain = before }) => {
    const earlier = known.find((file) => file.path === path);
    // if somebody edited the file since, their text without our additions is the original
    const original = earlier === undefined ? before : earlier.after === before ? earlier.before : plain;
    return { path, before: original, after: after as string };
  });
  const others = known.filter((file) => !files.some(({ path }) => path === file.path));
  writeJournal(store, journalName(engine), { files: [...others, ...files] });
  for (const { path, mode, owner } of engine.directories ?? []) {
    const isNew = statMaybe(path) === undefined;
    mkdirs(path, mode);
    if (isNew && owner) fchownat(AT_FDCWD, path, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
  }
  for (const edit of edits) write(edit);
}

/** Writes the files and forgets their former contents. Idempotent. */
export function carryOutUnsetup(store: Store, engine: EngineSetup, edits: readonly Edit[]): void {
  for (const edit of edits) write(edit);
  const gone = edits.some(({ after }) => after === null);
  for (const { path, ours } of [...(engine.directories ?? [])].reverse())
    if (gone || ours) rmdirQuietly(path);
  removeJournal(store, journalName(engine));
}

/** One line that says what the user must do to make the edits take effect. */
export function whatNow(engine: EngineSetup, edits: readonly Edit[]): string {
  return [...edits.flatMap(({ reload }) => reload ?? []), engine.restart].join("; ");
}

/** Formats the edits as a unified diff. */
export function formatEdits(edits: readonly Edit[]): string {
  const name = (path: string, text: string | null) => (text === null ? "/dev/null" : path);
  return edits
    .map(({ path, before, after }) =>
      createTwoFilesPatch(name(path, before), name(path, after), before ?? "", after ?? ""),
    )
    .join("")
    .replace(/^(=+|Index: .*)\n/gm, "");
}

function write({ path, after, mode = 0o644 }: Edit): void {
  if (after === null) {
    unlink(path);
    return;
  }
  // a symbolic link stays: the file it points to is replaced
  const real = realPath(path) ?? path;
  const like = statMaybe(real);
  mkdirs(path.slice(0, path.lastIndexOf("/")), 0o755);
  replaceFile(real, after, { mode, sync: true, ...(like && { like }) });
}

const journalName = (engine: EngineSetup) => engine.journal ?? engine.name;
