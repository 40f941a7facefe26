/** STORE/setup/NAME.json: what `setup` changed, and what was there before. */
import validateSetup from "../generated/setup.js";
import { mkdirMaybe, rmdirQuietly, unlinkQuietly } from "../sys/fd.ts";
import { readDocument, writeDocument } from "./document.ts";
import type { Store } from "./paths.ts";
import { recordKey } from "./records.ts";

export interface Journal {
  readonly files: readonly {
    readonly path: string;
    /** null: there was no file */
    readonly before: string | null;
    readonly after: string;
  }[];
}

const directory = (store: Store) => `${store.root}/setup`;
const file = (store: Store, name: string) => `${directory(store)}/${name}.json`;

/** Without files where nothing is set up under that name. */
export function readJournal(store: Store, name: string): Journal {
  return readDocument<Journal>(file(store, name), validateSetup) ?? { files: [] };
}

/** Durable on return. */
export function writeJournal(store: Store, name: string, journal: Journal): void {
  mkdirMaybe(directory(store), 0o700);
  writeDocument(file(store, name), journal, { sync: true });
}

export function removeJournal(store: Store, name: string): void {
  unlinkQuietly(file(store, name));
  rmdirQuietly(directory(store));
}

/** The journal's name for an LXC container in a directory of containers. */
export function lxcJournal(name: string, lxcpath: string): string {
  return recordKey("lxc", name, lxcpath);
}

/** Notes a change of our own to a container's configuration, which `unsetup` then knows for ours. */
export function noteSetupChange(store: Store, config: string, before: string, after: string): void {
  const parts = config.split("/");
  const journal = lxcJournal(parts.at(-2) ?? "", parts.slice(0, -2).join("/"));
  const { files } = readJournal(store, journal);
  if (!files.some((one) => one.path === config && one.after === before)) return;
  const next = files.map((one) => (one.path === config ? { ...one, after } : one));
  writeJournal(store, journal, { files: next });
}
