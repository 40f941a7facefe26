/**
 * Gives a running container another root, with its processes stopped for a moment. What will be is written down
 * before (the intent, the definition, the record), so that a kill at any point leaves what live-recover.ts puts
 * right; a failure before the root is exchanged leaves all as it was.
 */
import { during, VeneerError } from "../errors.ts";
import { marksOf } from "../input/marks.ts";
import { findMembers, type Members, pidsIn } from "../input/members.ts";
import { type Opened, openForWriting, type RootMarks } from "../input/open-files.ts";
import { boundSockets } from "../input/sockets.ts";
import { findStale, type StaleUse } from "../input/stale.ts";
import { explainError } from "../plan/explain.ts";
import { isShared } from "../plan/live-mounts.ts";
import { type Obstacle, type OpenFile, obstacleLine, obstacles } from "../plan/open-files.ts";
import { type Instance, writeInstance } from "../store/instances.ts";
import { waitUntilFree } from "../store/liveness.ts";
import { type Halt, type Moving, publishMoving, removeMoving } from "../store/moving.ts";
import type { Store } from "../store/paths.ts";
import { type Record, type Remains, readRecord, replaceRecord } from "../store/records.ts";
import { remainsInUse } from "../store/remains.ts";
import { withProcesses } from "../store/running.ts";
import { moveToTrash } from "../store/trash.ts";
import { withFsIds } from "../sys/credentials.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { type MountEntry, parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { insideMountNamespace } from "../sys/namespace.ts";
import { identify, type ProcessIdentity } from "../sys/process.ts";
import { namespaceOf } from "../sys/processes.ts";
import { ignoreSignals } from "../sys/signals.ts";
import { stat } from "../sys/stat.ts";
import {
  boundParts,
  type Copy,
  exchangeCopies,
  findCopies,
  openSources,
  type Prepared,
  prepareCopies,
  rebindAll,
} from "./live-copies.ts";
import { halt, letGo, newcomers, planHalt } from "./live-freeze.ts";
import { type Found, findInParts, isJournal, linkFiles } from "./live-link.ts";
import { mountNew, type NewOverlay } from "./live-overlay.ts";
import { requireRoot, settle, swapRoot } from "./live-swap.ts";

/** The root that a container is to get. */
export interface NewRoot {
  readonly verb: "rebase" | "fallback";
  /** layers, open, top first */
  readonly layers: readonly Fd[];
  /** of the container's own uppers, those that are among the layers, top first: what is written stays visible */
  readonly parts: readonly Fd[];
  /** uppers that are layers no more (`foldParts`), in which files of the parts have links */
  readonly folded?: readonly Fd[];
  /** those of a generation that is left, top first: what is written there is not seen any more */
  readonly left: readonly Fd[];
  /** holds `upper` and `work` */
  readonly directory: string;
  /** makes the directory, which goes when nothing comes of it; absent: it is there and stays */
  readonly make?: () => void;
  readonly volatile: boolean;
  /** what will hold: of the record all but what the swap adds */
  readonly record: Record;
  readonly instance?: { readonly id: string; readonly before: Instance; readonly after: Instance };
  /** go on in spite of obstacles */
  readonly force: boolean;
}

export interface LiveReport {
  /** milliseconds in which nothing of the container ran */
  readonly pause: number;
  /** files that are open for writing and stay the same file for all */
  readonly linked: readonly string[];
  readonly stale: readonly StaleUse[];
  /** mount points that stay on the old root: parts of it that could not be exchanged */
  readonly kept: readonly string[];
  /** processes were stopped by signals: there was no control group of the container's own to freeze */
  readonly signals: boolean;
  /** what `force` passed over */
  readonly obstacles: readonly Obstacle[];
}

/** A running container as a swap needs it. */
export interface LiveContainer {
  readonly record: Record;
  readonly init: ProcessIdentity;
  readonly root: MountEntry;
  /** parts of the root that are mounted again */
  readonly bound: readonly MountEntry[];
  /** further namespaces with a copy of the root */
  readonly copies: readonly Copy[];
  readonly members: Members;
  readonly marks: RootMarks;
  /** it has a user namespace of its own, to which its root is idmapped */
  readonly mapped: boolean;
}

/**
 * Milliseconds: for how long a moment is looked for in which no file stands in the way, how long one and the same
 * must do so to end that, and the longest time between two tries.
 */
const PATIENCE = 10_000;
const PERSISTENCE = 1500;
const LONGEST_WAIT = 60;

/** Mount id of a process's root. A user without root reaches it from the container's own user namespace alone. */
function rootMountOf(name: string, pid: number): number {
  try {
    return Number(stat(`/proc/${pid}/root`).mountId);
  } catch (cause) {
    if (!isErrno(cause, "EACCES")) throw cause;
    throw new VeneerError("USER_NAMESPACE", `container ${name} is in another user namespace of this user`, {
      cause,
      hint: `'veneer rebase ${name} BASE' enters that by itself`,
    });
  }
}

/** Throws where the container cannot get another root while it runs. Changes nothing. */
export function inspectLive(record: Record): LiveContainer {
  const name = record.container ?? record.key;
  refuseKinds(record, name);
  const [running] = withProcesses([record]);
  const init = running?.pid === undefined ? undefined : identify(running.pid);
  if (!init)
    throw new VeneerError("NOT_RUNNING", `container ${name} is being started or stopped`, {
      hint: "try again in a moment",
    });
  const mounts = parseMountinfo(readMountinfo(init.pid) ?? "");
  const root = requireRoot(mounts);
  if (root.source !== record.source || rootMountOf(name, init.pid) !== root.id) {
    throw new VeneerError(
      "NO_ROOT",
      `process ${init.pid} of container ${name} does not have the container's root`,
      {
        hint: "it is being started, or runs in a chroot; stop the container to rebase it",
      },
    );
  }
  const mapped = namespaceOf(init.pid, "user") !== namespaceOf(process.pid, "user");
  if (mapped && !record.idmap) {
    throw new VeneerError("USER_NAMESPACE", `container ${name} has a user namespace of its own`, {
      hint: "stop it to rebase it: its root cannot be exchanged while it runs",
    });
  }
  const bound = boundParts(mounts, root);
  const covered = bound.find(({ id }) => mounts.some(({ parent }) => parent === id));
  if (covered) {
    throw new VeneerError(
      "BOUND",
      `${covered.target} in container ${name} is a part of its root that is mounted there again, with mounts on it`,
      {
        hint: "it would stay on the old version; stop the container to rebase it",
      },
    );
  }
  const members = findMembers(init.pid);
  const roots = [{ mount: root.id, device: root.device }, ...(record.remains ?? [])];
  const marks = marksOf(roots, init.pid, members.pids);
  const copies = findCopies(marks.devices, init.pid, members.pids);
  return { record, init, root, bound, copies, members, marks, mapped };
}

function refuseKinds(record: Record, name: string): void {
  const refuse = (what: string, hint = "stop it to rebase it") => {
    throw new VeneerError("NOT_LIVE", `container ${name} ${what}`, { hint });
  };
  if (record.tmpfs)
    refuse(
      "keeps its writes in memory, where no second root can reach them",
      "they go when it stops: start it on the other version",
    );
  if (record.image) refuse("has the tree of an image above its base (run.veneer.rootfs=layer)");
}

export type Uppers = Pick<NewRoot, "parts" | "folded" | "left">;

/** What stands in the way of another root now, as far as it can be told while the container runs. */
export function findObstacles(container: LiveContainer, uppers: Uppers): Obstacle[] {
  const open = judge(openForWriting(container.members.pids, container.marks), uppers);
  return [...socketObstacles(container), ...obstacles(open.map(({ file }) => file))];
}

function socketObstacles({ init, members, marks }: LiveContainer): Obstacle[] {
  const rest = { kind: "socket", reads: true, locked: false, otherNames: 0 } as const;
  const files = boundSockets(init.pid, members.pids, marks).map((socket) => ({ ...socket, ...rest }));
  return obstacles(files);
}

interface Judged {
  readonly file: OpenFile;
  readonly found?: Found;
}

/** Leaves out files that nobody can come to by a name. */
function judge(opened: readonly Opened[], { parts, folded, left }: Uppers): Judged[] {
  return opened.flatMap((one): Judged[] => {
    const file = { ...one, otherNames: 0 };
    if (one.kind === "fifo") return [{ file }];
    const found = findInParts(parts, one, folded);
    if (found) {
      const reads = file.reads && !isJournal(parts[found.part] as Fd, found.path);
      return [{ file: { ...file, reads, otherNames: found.otherNames }, found }];
    }
    return findInParts(left, one) ? [{ file: { ...file, left: true } }] : [];
  });
}

/**
 * Exchanges the root. The caller holds the instance's lock, and the bases of both roots. On return the
 * container runs on the new root and the definition and the record say so; when it throws, on the old one.
 */
export function exchangeRoot(store: Store, container: LiveContainer, next: NewRoot): LiveReport {
  const { record, init, root, members } = container;
  const sockets = socketObstacles(container);
  refuse(sockets, next);
  const parts = [...container.bound, ...container.copies.flatMap((copy) => [copy.root, ...copy.bound])];
  const copies = parts.map(({ id }) => id);
  const former: Remains = {
    base: record.base,
    version: record.version,
    upper: record.upper as string,
    mount: root.id,
    device: root.device,
    ...(copies.length > 0 && { copies }),
  };
  const after: Record = { ...next.record, remains: [...remainsInUse(record), former] };
  const moving: Moving = {
    key: record.key,
    init,
    root: root.id,
    shared: isShared(root),
    copies: container.copies.map((copy) => ({
      init: copy.init,
      root: copy.root.id,
      shared: isShared(copy.root),
    })),
    halt: planHalt(members),
    record,
    ...(next.instance && { instance: next.instance.before }),
    part: next.directory,
    made: next.make !== undefined,
  };
  const work: Work = { store, container, next, moving, holders: [], swapped: false, standing: false };
  work.holders.push(publishMoving(store, moving));
  // without an instance's lock another rebase may have ended since this one looked
  if (readRecord(store, record.key)?.upper !== record.upper) {
    removeMoving(store, record.key);
    for (const holder of work.holders) holder[Symbol.dispose]();
    throw new VeneerError("BUSY", `container ${record.container ?? record.key} was changed meanwhile`, {
      hint: "try again",
    });
  }
  try {
    next.make?.();
    if (next.instance) writeInstance(store, next.instance.id, next.instance.after);
    changeRecord(store, after);
    const done = insist(work);
    const stale = staleOf(init.pid, after);
    const remains = remainsInUse(after);
    changeRecord(store, remains.length > 0 ? { ...after, remains } : next.record);
    removeMoving(store, record.key);
    const passed = [...sockets, ...done.obstacles];
    return { ...done, obstacles: passed, stale, signals: members.freezer === undefined };
  } catch (error) {
    // what could not be let go on, or put back, stays for the next command: the intent tells of it
    if (work.swapped && !work.standing) removeMoving(store, record.key);
    if (!work.swapped && !work.standing) takeBack(store, moving, next.instance);
    if (!work.swapped) throw error;
    throw new VeneerError("MOVED", "the container runs on its new root, but", { cause: error });
  } finally {
    for (const holder of work.holders) holder[Symbol.dispose]();
  }
}

interface Work {
  readonly store: Store;
  readonly container: LiveContainer;
  readonly next: NewRoot;
  readonly moving: Moving;
  /** the intents that are held */
  readonly holders: Fd[];
  /** the container has its new root */
  swapped: boolean;
  /** something of it may stand still, or lie between the two roots */
  standing: boolean;
}

type Done = Pick<LiveReport, "pause" | "linked" | "kept" | "obstacles">;

/** Tries until nothing stands in the way. */
function insist(work: Work): Done {
  const { next, container } = work;
  using upper = openDirectory(`${next.directory}/upper`);
  const { layers, directory, volatile } = next;
  const source = container.record.source as string;
  const mapped = container.mapped ? container.init.pid : undefined;
  using overlay = mountNew({ layers, directory, volatile, source }, mapped);
  const begin = performance.now();
  let persistent: readonly Obstacle[] | undefined;
  for (;;) {
    const result = attempt(work, overlay, upper);
    if (!("blocked" in result)) return result;
    const { blocked } = result;
    persistent = persistent?.filter((one) => blocked.some((other) => isSameObstacle(one, other))) ?? blocked;
    const waited = performance.now() - begin;
    if (waited > PERSISTENCE) refuse(persistent, next);
    if (waited > PATIENCE) refuse(blocked, next);
    Bun.sleepSync(1 + Math.random() * LONGEST_WAIT);
  }
}

function isSameObstacle(a: Obstacle, b: Obstacle): boolean {
  return a.pid === b.pid && a.path === b.path;
}

function attempt(
  work: Work,
  overlay: NewOverlay,
  upper: Fd,
): Done | { readonly blocked: readonly Obstacle[] } {
  using _signals = ignoreSignals();
  const { next, container, moving } = work;
  const { members, marks } = container;
  let plan: Halt = moving.halt;
  const begin = performance.now();
  work.standing = true;
  let result: Omit<Done, "pause"> | { readonly blocked: readonly Obstacle[] };
  try {
    halt(plan);
    if (!members.freezer) plan = stopNewcomers(work);
    const judged = judge(openForWriting(standing(members, plan), marks), next);
    const inTheWay = obstacles(judged.map(({ file }) => file));
    if (inTheWay.length > 0 && !next.force) result = { blocked: inTheWay };
    else {
      const found = judged.flatMap((one) => one.found ?? []);
      if (next.parts.length > 0) linkFiles(next.parts, upper, found);
      const kept = exchange(work, overlay);
      result = { kept, linked: [...new Set(found.map(({ path }) => `/${path}`))], obstacles: inTheWay };
    }
  } catch (error) {
    letGo(plan);
    work.standing = work.standing && isBetween(error);
    throw error;
  }
  letGo(plan);
  work.standing = false;
  return "blocked" in result ? result : { ...result, pause: performance.now() - begin };
}

/** Processes that stand still now. */
function standing({ freezer, outside, pids }: Members, plan: Halt): number[] {
  const stopped = plan.stopped.map(({ pid }) => pid);
  const grouped = freezer ? [...pidsIn(freezer.path), ...outside.map(({ pid }) => pid)] : pids;
  return [...new Set([...grouped, ...stopped])];
}

/** All or nothing, unless what is to be undone cannot be: then the error says so ({@link isBetween}). */
function exchange(work: Work, { mount, ids }: NewOverlay): string[] {
  const { init, bound, copies, root } = work.container;
  const shared = isShared(root);
  const sources = openSources(mount, [...bound, ...copies.flatMap((copy) => copy.bound)]);
  let prepared: Prepared | undefined;
  try {
    const kept = insideMountNamespace(init.pid, (proc) => {
      const swap = () => swapRoot(mount, proc, init.pid);
      try {
        during("exchange the root", () => (ids ? withFsIds(ids, swap) : swap()), explainError);
        work.swapped = true;
      } catch (error) {
        try {
          work.swapped = settle(work.moving, proc) === "new";
        } catch (cause) {
          throw new VeneerError(BETWEEN, "the root is half exchanged", {
            cause,
            hint: "'veneer gc' tries again to bring it to order",
          });
        }
        throw error;
      }
      if (bound.length + copies.length === 0) return [];
      prepared = prepareCopies(mount, bound, copies, sources);
      return rebindAll(bound, prepared.bound, shared);
    });
    return [...kept, ...(prepared ? exchangeCopies(prepared, shared) : [])];
  } finally {
    prepared?.[Symbol.dispose]();
    for (const source of sources.values()) source[Symbol.dispose]();
  }
}

const BETWEEN = "BETWEEN_ROOTS";

function isBetween(error: unknown): boolean {
  return error instanceof VeneerError && error.code === BETWEEN;
}

/** Children that were born between the look and the stop; each is written down before it is stopped. */
function stopNewcomers({ store, container, moving, holders }: Work): Halt {
  const { init, members } = container;
  let plan = moving.halt;
  let known: Members = members;
  for (let count = 0; count < 100; count++) {
    const fresh = newcomers(init.pid, known);
    if (fresh.length === 0) return plan;
    plan = { ...plan, stopped: [...plan.stopped, ...fresh] };
    known = { ...known, pids: [...known.pids, ...fresh.map(({ pid }) => pid)] };
    holders.push(publishMoving(store, { ...moving, halt: plan }, true));
    halt({ ...plan, stopped: fresh });
  }
  letGo(plan);
  throw new VeneerError("NOT_FROZEN", "the container makes processes faster than they can be stopped", {
    hint: "give it a control group of its own",
  });
}

function refuse(all: readonly Obstacle[], next: NewRoot): void {
  if (all.length === 0 || next.force) return;
  const [first, ...rest] = all as [Obstacle, ...Obstacle[]];
  const more = rest.length === 0 ? "" : ` (and ${rest.length} more: --dry-run lists them)`;
  throw new VeneerError("OPEN_FILES", `${obstacleLine(first)}${more}`, {
    hint: `stop or restart that program, or --force to ${next.verb} all the same`,
  });
}

/** Milliseconds for an overlay that nothing needs any more to be gone. */
const GONE_WITHIN = 500;

/** Puts the definition and the record back. What the mounts and processes had is theirs again by now. */
export function takeBack(
  store: Store,
  moving: Moving,
  instance: { readonly id: string; readonly before: Instance } | undefined,
): void {
  if (instance) writeInstance(store, instance.id, instance.before);
  changeRecord(store, moving.record);
  // the overlay on it is gone, unless someone looks into /proc/PID/root at this moment
  if (moving.made && waitUntilFree(`${moving.part}/upper`, GONE_WITHIN)) moveToTrash(store, moving.part);
  removeMoving(store, moving.key);
}

/** The container's end takes its record away, at any moment: then there is none to change. */
function changeRecord(store: Store, record: Record): void {
  if (readRecord(store, record.key)) replaceRecord(store, record);
}

/** What of the container whose first process is `init` is still on roots from before. */
export function staleOf(init: number, record: Record): StaleUse[] {
  const remains = remainsInUse(record);
  if (remains.length === 0) return [];
  const { pids } = findMembers(init);
  return findStale(pids, marksOf(remains, init, pids));
}
