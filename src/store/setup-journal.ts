/** STORE/setup/NAME.json: the files that `setup` changed, before and after. */
import validateSetup from "../generated/setup.js";
import { mkdirMaybe, rmdirQuietly, unlinkQuietly } from "../sys/fd.ts";
import { readDocument, writeDocument } from "./document.ts";
import type { Store } from "./paths.ts";
import { recordKey } from "./records.ts";

export interface Journal {
  readonly files: readonly {
    readonly path: string;
    /** null: the file did not exist */
    readonly before: string | null;
    readonly after: string;
  }[];
}

const directory = (store: Store) => `${store.root}/setup`;
const file = (store: Store, name: string) => `${directory(store)}/${name}.json`;

/** The journal of that name; it has no files where nothing is set up under the name. */
export function readJournal(store: Store, name: string): Journal {
  return readDocument<Journal>(file(store, name), validateSetup) ?? { files: [] };
}

/** Replaces the journal of that name, durable on return. */
export function writeJournal(store: Store, name: string, journal: Journal): void {
  mkdirMaybe(directory(store), 0o700);
  writeDocument(file(store, name), journal, { sync: true });
}

export function removeJournal(store: Store, name: string): void {
  unlinkQuietly(file(store, name));
  rmdirQuietly(directory(store));
}

/** The name of the journal for an LXC container in the directory `lxcpath`. */
export function lxcJournal(name: string, lxcpath: string): string {
  return recordKey("lxc", name, lxcpath);
}

/** Records a change that we make to a container's configuration, so that `unsetup` recognizes it as ours. */
export function noteSetupChange(store: Store, config: string, before: string, after: string): void {
  const parts = config.split("/");
  const journal = lxcJournal(parts.at(-2) ?? "", parts.slice(0, -2).join("/"));
  const { files } = readJournal(store, journal);
  if (!files.some((one) => one.path === config && one.after === before)) return;
  const next = files.map((one) => (one.path === config ? { ...one, after } : one));
  writeJournal(store, journal, { files: next });
}
