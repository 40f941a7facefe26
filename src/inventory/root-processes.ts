/** The processes of containers that have no pid in their record, found by the overlay that is their root. */

import { readMountTable, readNamespace } from "../store/in-use.ts";
import type { Record } from "../store/records.ts";
import { openatMaybe, readlink } from "../sys/fd.ts";
import { AT_FDCWD, O_PATH } from "../sys/flags.ts";
import { parseMountLine, upperOf } from "../sys/mountinfo.ts";
import { identify, isAlive, type ProcessIdentity } from "../sys/process.ts";
import { list } from "../sys/stat.ts";

/** An overlay of ours that is the root of a mount namespace. */
interface Root {
  /** `veneer:NAME`; of one that LXC mounted, its upper */
  readonly source: string;
  /** as mountinfo shows it */
  readonly upper: string | undefined;
}

interface RootProcess extends Root {
  /** the first that there is in the namespace */
  readonly process: ProcessIdentity;
}

/** Found before: one who moves many containers asks for each, and the machine has many processes. */
let found: readonly RootProcess[] = [];

/**
 * The first process of each record's container. The wrapping runtime leaves no pid, since the container's process
 * comes after it; a runtime that waits in the namespace that it was prepared in has the overlay elsewhere than at
 * its root.
 */
export function findRootProcesses(records: readonly Record[]): Map<Record, number> {
  const before = new Map(records.flatMap((record) => stillThere(record) ?? []));
  if (before.size === records.length) return before;
  found = findRoots();
  return new Map(
    records.flatMap((record) => {
      const test = makeTest(record);
      const first = found.filter(test).sort((a, b) => a.process.startTime - b.process.startTime)[0];
      return first ? [[record, first.process.pid]] : [];
    }),
  );
}

function stillThere(record: Record): (readonly [Record, number])[] | undefined {
  const test = makeTest(record);
  for (const { source, process } of found) {
    if (source !== record.source || !isAlive(process)) continue;
    const root = rootIn(readMountTable(process.pid) ?? "");
    if (root && test(root)) return [[record, process.pid]];
  }
  return undefined;
}

/** An upper of a store, of whichever. */
const UPPER = /\/(instances\/[^/]+\/[0-9]+|ephemeral\/[^/]+)(\/parts\/[0-9]+)?\/upper$/;

/**
 * An upper as an idmapped overlay shows it, which has it from a clone of its store: the path below that. Undefined
 * for what is no upper of a store.
 */
export function belowStore(upper: string): string | undefined {
  return UPPER.exec(upper)?.[0];
}

/**
 * Whether a root is that of the record's container. Another store may have an instance of the same name: its
 * upper tells, unless both are idmapped. What shows no upper of a store (in memory, by descriptor before Linux
 * 6.13) is believed.
 */
function makeTest(record: Record): (root: Root) => boolean {
  const { source, upper } = record;
  let own: ReadonlySet<string> | undefined;
  return (root) => {
    if (root.source !== source) return false;
    if (upper === undefined || root.upper === undefined || !UPPER.test(root.upper)) return true;
    own ??= new Set([upper, canonical(upper), (record.idmap && belowStore(upper)) ?? upper]);
    return own.has(root.upper);
  };
}

/** Without symbolic links, as the kernel shows it. */
function canonical(path: string): string {
  using fd = openatMaybe(AT_FDCWD, path, O_PATH);
  return (fd && readlink(fd.path)) ?? path;
}

function findRoots(): RootProcess[] {
  const roots = new Map<string, Root | undefined>();
  const first = new Map<string, RootProcess>();
  for (const name of list("/proc")) {
    if (!/^[0-9]+$/.test(name)) continue;
    const pid = Number(name);
    const namespace = readNamespace(pid);
    if (namespace === undefined) continue;
    if (!roots.has(namespace)) {
      const table = readMountTable(pid);
      if (table === undefined) continue;
      roots.set(namespace, rootIn(table));
    }
    const root = roots.get(namespace);
    const process = root && identify(pid);
    if (!root || !process) continue;
    const known = first.get(namespace);
    if (!known || process.startTime < known.process.startTime) first.set(namespace, { ...root, process });
  }
  return [...first.values()];
}

/** The topmost overlay at `/`. */
function rootIn(table: string): Root | undefined {
  let root: Root | undefined;
  for (const line of table.split("\n")) {
    if (!line.includes(" / / ")) continue;
    const entry = parseMountLine(line);
    if (entry?.target !== "/" || entry.type !== "overlay") continue;
    const upper = upperOf(entry.superOptions);
    const source = entry.source.startsWith("veneer:") ? entry.source : upper;
    if (source !== undefined) root = { source, upper };
  }
  return root;
}
