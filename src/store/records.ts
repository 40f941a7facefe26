/** Records of what uses an instance or a version: written before the first mount, removed after the last. */
import validateRecord from "../generated/record.js";
import { isErrno } from "../sys/errno.ts";
import { createFile, readlink, readText, rename, symlink, uniqueSuffix, unlinkQuietly } from "../sys/fd.ts";
import { RENAME_NOREPLACE } from "../sys/flags.ts";
import type { ProcessIdentity } from "../sys/process.ts";
import { list, lstatMaybe } from "../sys/stat.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { parseDocument, writeDocument } from "./document.ts";
import type { Parts } from "./frozen-uppers.ts";
import type { OverlayIdentity } from "./mounts/identity.ts";

import { paths, type Store } from "./paths.ts";

export type EngineName = "oci" | "precreate" | "runtime" | "lxc" | "mount";

/** Where an overlay is mounted: in the container's namespace, in one of the runtime's own, or on the host. */
export type Placement = "container" | "private" | "host";

/** An overlay that a live rebase took away from a container, while something of it may still be on that. */
export interface FormerRoot {
  readonly base: string;
  readonly version: number;
  readonly upper: string;
  /** id of the mount that was the container's root, and its device, as in mountinfo */
  readonly mount: number;
  readonly device: string;
  /** ids of its copies in other namespaces, and of parts of it that were mounted once more */
  readonly copies?: readonly number[];
}

export interface UseRecord extends Parts {
  readonly key: string;
  readonly engine: EngineName;
  /** the engine's name for the container */
  readonly container?: string;
  readonly bundle?: string;
  /** a named instance, or the directory of an ephemeral one */
  readonly instance?: string;
  readonly ephemeral?: string;
  /** the upper lives in memory */
  readonly tmpfs?: boolean;
  readonly base: string;
  readonly version: number;
  readonly placement: Placement;
  /** mount point */
  readonly target?: string;
  /** what mountinfo shows as the source of the overlay: for people, anyone can choose the same */
  readonly source?: string;
  /** by what the overlay is known; empty until it is mounted, absent in records of version 0.1 */
  readonly overlay?: OverlayIdentity;
  /** of what stays mounted on the host, when a live rebase has given the container another overlay than that */
  readonly hostOverlay?: OverlayIdentity;
  readonly upper?: string;
  /** patterns of what it may not see of any version */
  readonly mask?: readonly string[];
  /** the topmost layer is the tree of an image */
  readonly image?: boolean;
  /** oldest first */
  readonly remains?: readonly FormerRoot[];
  /** the process that prepares: while it lives, the record counts as used */
  readonly preparer: ProcessIdentity;
  /** the container's first process, where it is known */
  readonly process?: ProcessIdentity;
  /** layers and upper are idmapped to the container's user namespace; its maps, where they are known */
  readonly idmap?: Partial<IdMap>;
  /** they have the owners of these maps on the disk instead */
  readonly shifted?: Partial<IdMap>;
  /** ISO 8601 */
  readonly created: string;
}

/** Two lanes of FNV-1a in 16 hexadecimal digits: keeps equal container ids of different bundles apart. */
function hash(text: string): string {
  let low = 0x811c9dc5;
  let high = 0x01000193;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit ^ (low >>> 13), 0x01000193);
  }
  const hex = (value: number) => (value >>> 0).toString(16).padStart(8, "0");
  return hex(high) + hex(low);
}

/**
 * The record's name for a container of an engine: its id, made fit for a file name, and a hash of the id as it
 * is and of its place.
 */
export function recordKey(engine: EngineName, container: string, place: string): string {
  return `${container.slice(0, 128).replace(/[^A-Za-z0-9_+.-]/g, "_")}~${hash(`${engine}\0${container}\0${place}`)}`;
}

/**
 * Publishes a record and, where it names an instance, the link by which its holder is found: both or neither.
 * Throws EEXIST when the record or the link is there: of two starts at once one finds the other's.
 */
export function writeRecord(store: Store, record: UseRecord): void {
  const path = paths.record(store, record.key);
  const temporary = `${path}.${uniqueSuffix()}`;
  createFile(temporary, `${JSON.stringify(record)}\n`);
  try {
    rename(temporary, path, RENAME_NOREPLACE);
  } catch (error) {
    unlinkQuietly(temporary);
    throw error;
  }
  if (record.instance === undefined) return;
  try {
    symlink(record.key, paths.held(store, record.instance));
  } catch (error) {
    unlinkQuietly(path);
    throw error;
  }
}

/** Puts a record in the place of the one of its key, in one step. */
export function replaceRecord(store: Store, record: UseRecord): void {
  writeDocument(paths.record(store, record.key), record);
}

const REMOVE_RECORD = "remove that file when the container that it is named after is gone";

/** A record; undefined where there is none, or an empty one, which says that its user is gone (veneer-release). */
export function readRecord(store: Store, key: string): UseRecord | undefined {
  const path = paths.record(store, key);
  const text = readText(path);
  return text ? parseDocument<UseRecord>(text, path, validateRecord, REMOVE_RECORD) : undefined;
}

/** Removes a record and the configuration kept with it. Idempotent. */
export function removeRecord(store: Store, record: UseRecord): void {
  if (record.instance !== undefined && readlink(paths.held(store, record.instance)) === record.key) {
    unlinkQuietly(paths.held(store, record.instance));
  }
  unlinkQuietly(paths.config(store, record.key));
  unlinkQuietly(paths.startMark(store, record.key));
  unlinkQuietly(paths.record(store, record.key));
}

/**
 * All records, or those whose key begins with `prefix`; one that vanishes while it is read is left out. What
 * cannot be read is told to `report`, or thrown where there is none.
 */
export function listRecords(store: Store, prefix = "", report?: (error: unknown) => void): UseRecord[] {
  let names: string[];
  try {
    names = list(paths.records(store));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
  const records: UseRecord[] = [];
  for (const name of names) {
    if (!name.endsWith(".json") || !name.startsWith(prefix)) continue;
    try {
      const record = readRecord(store, name.slice(0, -".json".length));
      if (record) records.push(record);
    } catch (error) {
      if (!report) throw error;
      report(error);
    }
  }
  return records;
}

/** The records of one container of an engine: there is one for each start that was not torn down. */
export function findRecords(store: Store, container: string, bundle: string): UseRecord[] {
  if (!lstatMaybe(paths.records(store))) return [];
  const prefix = `${container.slice(0, 128)}~`;
  const names = list(paths.records(store)).filter(
    (name) => name.startsWith(prefix) && name.endsWith(".json"),
  );
  const records = names.map((name) => readRecord(store, name.slice(0, -".json".length)));
  return records.filter(
    (record) => record?.container === container && record.bundle === bundle,
  ) as UseRecord[];
}

/** The record that holds a named instance, by the link that {@link writeRecord} made. */
export function findHolder(store: Store, instance: string): UseRecord | undefined {
  const key = readlink(paths.held(store, instance));
  return key === undefined ? undefined : readRecord(store, key);
}
