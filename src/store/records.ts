/** Records of the users of instances and versions: written before the first mount, removed after the last unmount. */
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

/** The mount namespace in which an overlay is mounted: the container's, one of the runtime's own, or the host's. */
export type Placement = "container" | "private" | "host";

/** An overlay that a live rebase replaced, which processes of the container may still use. */
export interface FormerRoot {
  readonly base: string;
  readonly version: number;
  readonly upper: string;
  /** id of the mount that was the container's root, and its device number, as in mountinfo */
  readonly mount: number;
  readonly device: string;
  /** ids of its copies in other namespaces, and of bind mounts of directories in it */
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
  /** the upper is in memory */
  readonly tmpfs?: boolean;
  readonly base: string;
  readonly version: number;
  readonly placement: Placement;
  /** mount point */
  readonly target?: string;
  /** source of the overlay in mountinfo; for people only, since anyone can choose the same */
  readonly source?: string;
  /** identifies the overlay; empty until it is mounted, absent in records of version 0.1 */
  readonly overlay?: OverlayIdentity;
  /** the overlay that stays mounted on the host, when a live rebase has given the container another one */
  readonly hostOverlay?: OverlayIdentity;
  readonly upper?: string;
  /** patterns of paths that are hidden from it in every version */
  readonly mask?: readonly string[];
  /** the topmost layer is the tree of an image */
  readonly image?: boolean;
  /** oldest first */
  readonly remains?: readonly FormerRoot[];
  /** the preparing process: the record is live as long as it runs */
  readonly preparer: ProcessIdentity;
  /** the container's first process, if known */
  readonly process?: ProcessIdentity;
  /** layers and upper are idmapped to the container's user namespace, with these maps if known */
  readonly idmap?: Partial<IdMap>;
  /** instead of idmapped mounts, the files on disk have owners shifted by these maps */
  readonly shifted?: Partial<IdMap>;
  /** ISO 8601 */
  readonly created: string;
}

/** 16 hexadecimal digits from two lanes of FNV-1a, to distinguish equal container ids in different bundles. */
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
 * The key of the record of an engine's container: its id, made safe for a file name, and a hash of the engine, the
 * original id and `place`, which distinguishes containers with equal ids (the bundle, or LXC's configuration).
 */
export function recordKey(engine: EngineName, container: string, place: string): string {
  return `${container.slice(0, 128).replace(/[^A-Za-z0-9_+.-]/g, "_")}~${hash(`${engine}\0${container}\0${place}`)}`;
}

/**
 * Publishes a record and, where it names an instance, the link that leads to the record of the instance's holder: both
 * or neither. Throws EEXIST when either exists, so that of two simultaneous starts one fails.
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

/** Replaces the record with the same key, atomically. */
export function replaceRecord(store: Store, record: UseRecord): void {
  writeDocument(paths.record(store, record.key), record);
}

const REMOVE_RECORD = "remove that file when the container that it is named after is gone";

/** Reads a record; undefined where there is none or it is empty: veneer-release empties it when its user is gone. */
export function readRecord(store: Store, key: string): UseRecord | undefined {
  const path = paths.record(store, key);
  const text = readText(path);
  return text ? parseDocument<UseRecord>(text, path, validateRecord, REMOVE_RECORD) : undefined;
}

/** Removes a record, its link, and the configuration and mark stored with it. Idempotent. */
export function removeRecord(store: Store, record: UseRecord): void {
  if (record.instance !== undefined && readlink(paths.held(store, record.instance)) === record.key) {
    unlinkQuietly(paths.held(store, record.instance));
  }
  unlinkQuietly(paths.config(store, record.key));
  unlinkQuietly(paths.startMark(store, record.key));
  unlinkQuietly(paths.record(store, record.key));
}

/**
 * All records, or those whose key begins with `prefix`, without any that disappear during the call. An error in
 * reading a record goes to `report`, or is thrown without one.
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

/** The records of an engine's container: one for each start that was not cleaned up. */
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

/** The record that holds a named instance, found by the link that {@link writeRecord} created. */
export function findHolder(store: Store, instance: string): UseRecord | undefined {
  const key = readlink(paths.held(store, instance));
  return key === undefined ? undefined : readRecord(store, key);
}
