/**
 * Gives a running container another root while its processes are frozen for a moment. What will be is written down
 * first (the intent, the definition, the record), so that recover.ts can finish or revert the switch after a kill at
 * any point; a failure before the switch leaves everything as it was.
 */

import { VeneerError } from "../errors.ts";
import { formerRootsInUse } from "../inventory/former-roots.ts";
import { maskLayerOf } from "../store/frozen-uppers.ts";
import { type Instance, writeInstance } from "../store/instances.ts";
import { identityOf } from "../store/mounts/identity.ts";
import { waitUntilFree } from "../store/mounts/in-use.ts";
import type { Store } from "../store/paths.ts";
import { type FormerRoot, readRecord, replaceRecord, type UseRecord } from "../store/records.ts";
import { moveToTrash } from "../store/trash.ts";
import { type Fd, readlink } from "../sys/fd.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { allowOpenFiles } from "../sys/process/open-limit.ts";
import { isShared } from "../sys/propagation.ts";
import { displayName } from "../text/names.ts";
import { refuseBlockers, socketBlockers } from "./blockers.ts";
import type { Blocker } from "./file-blockers.ts";
import type { StaleUse } from "./find-stale.ts";
import { planFreeze } from "./freeze.ts";
import {
  mountNext,
  type NewRoot,
  pauseLimit,
  type SwitchResult,
  type SwitchState,
  switchWithRetry,
} from "./freeze-and-switch.ts";
import type { LiveContainer } from "./inspect.ts";
import { publishIntent, type RebaseIntent, removeIntent } from "./journal.ts";
import { lookPatiently } from "./look.ts";
import { mountPointsOn } from "./mounts.ts";
import { moveBackDurably, whyNotMoved } from "./move-changes.ts";
import { openForWriting } from "./open-files.ts";
import { beginPause, refuseLongPause } from "./pause.ts";
import { changedUses, staleOf } from "./stale.ts";
import { startGuard } from "./watchdog.ts";

export interface LiveReport extends SwitchResult {
  /** by which processes need a restart: what differs in the version that the container is on now */
  readonly stale: readonly StaleUse[];
  /** why stale files could not be listed: a process did not answer */
  readonly unseen?: unknown;
  /** processes were stopped by signals, since the container has no control group of its own to freeze */
  readonly signals: boolean;
}

/** What was seen of a container before anything is changed. */
export interface FirstLook {
  readonly sockets: readonly Blocker[];
  /** why what the container changed stays in its old upper */
  readonly stays: string | undefined;
}

/**
 * Inspects a running container, which may keep whoever does so waiting for some seconds: the caller holds no lock that
 * others need. `top` is the highest part of its upper, where that is to be a layer. Throws where something blocks the
 * switch, or the container would be frozen for too long.
 */
export function lookFirst(
  container: LiveContainer,
  options: Pick<NewRoot, "verb" | "force" | "pauseLimit">,
  top: Fd | undefined,
): FirstLook {
  const sockets = socketBlockers(container);
  refuseBlockers(sockets, options);
  refuseLong(container, options.pauseLimit);
  return { sockets, stays: top && whyNotMoved(container, top) };
}

/**
 * Switches the root. The caller holds the instance's lock or the ephemeral upper, and the bases of both roots until
 * `next.written` is called: from then on they are in use. On return the container runs on the new root, and the
 * definition and the record say so; when it throws, on the old one.
 */
export function switchRoot(
  store: Store,
  container: LiveContainer,
  { sockets, stays }: FirstLook,
  next: NewRoot,
): LiveReport {
  const { record, init, root, members } = container;
  const [old] = next.parts;
  const parts = [...container.bound, ...container.copies.flatMap((copy) => [copy.root, ...copy.bound])];
  const copies = parts.map(({ id }) => id);
  const former: FormerRoot = {
    base: record.base,
    version: record.version,
    upper: record.upper as string,
    mount: root.id,
    device: root.device,
    ...(copies.length > 0 && { copies }),
  };
  const intent: RebaseIntent = {
    key: record.key,
    init,
    root: root.id,
    shared: isShared(root),
    copies: container.copies.map((copy) => ({
      init: copy.init,
      root: copy.root.id,
      shared: isShared(copy.root),
    })),
    halt: planFreeze(members),
    record,
    ...(next.instance && { instance: next.instance.before }),
    part: next.directory,
    made: next.make !== undefined,
    ...(old && stays === undefined && { from: readlink(old.path) as string }),
  };
  const holders = [publishIntent(store, intent)];
  using guard = startGuard(store, next.pauseLimit);
  const state: SwitchState = {
    store,
    container,
    next,
    intent,
    guard,
    holders,
    switching: false,
    switched: false,
    frozen: false,
    ...(stays !== undefined && { stays }),
  };
  try {
    next.make?.();
    if (next.instance) writeInstance(store, next.instance.id, next.instance.after);
    using overlay = mountNext(next, container, store);
    const hostOverlay = record.hostOverlay ?? record.overlay;
    const moved: UseRecord = {
      ...next.record,
      overlay: identityOf(overlay.mount),
      ...(record.placement === "host" && hostOverlay && { hostOverlay }),
    };
    const after: UseRecord = { ...moved, remains: [...formerRootsInUse(record), former] };
    changeRecord(store, after);
    next.written();
    const done = switchWithRetry(state, overlay);
    const seen = lookAtStale(store, init.pid, after);
    const remains = formerRootsInUse(after);
    changeRecord(store, remains.length > 0 ? { ...after, remains } : moved);
    removeIntent(store, record.key);
    const passed = [...sockets, ...done.blockers];
    return { ...done, blockers: passed, ...seen, signals: members.freezer === undefined };
  } catch (error) {
    // what could not be thawed or reverted is left to the next command, which finds the intent
    if (state.switched && !state.frozen) removeIntent(store, record.key);
    if (!state.switched && !state.frozen) revertDocuments(store, state.intent, next.instance);
    if (!state.switched) throw error;
    throw new VeneerError("MOVED", "the container runs on its new root, but", { cause: error });
  } finally {
    for (const holder of state.holders) holder[Symbol.dispose]();
  }
}

/** The container has moved by then, whatever its processes answer. */
function lookAtStale(store: Store, init: number, record: UseRecord): Pick<LiveReport, "stale" | "unseen"> {
  try {
    return { stale: changedUses(store, record, record.remains ?? [], staleOf(init, record)) };
  } catch (error) {
    if (!(error instanceof VeneerError && error.code === "NO_ANSWER")) throw error;
    return { stale: [], unseen: error };
  }
}

/** Inspects the running container in the way in which the frozen one will be inspected, and measures the time. */
function refuseLong(container: LiveContainer, limit: number): void {
  const { init, root, members, rootIds } = container;
  const begin = performance.now();
  const pace = beginPause(pauseLimit(container, limit));
  openForWriting(members.pids, rootIds, lookPatiently, pace.check);
  const mounts = parseMountinfo(readMountinfo(init.pid) ?? "");
  const places = mountPointsOn(mounts, root.id);
  refuseLongPause(pauseLimit(container, limit), performance.now() - begin, places.length);
  requireOpenFiles(places.length, container);
}

/** What is below each mount stays open meanwhile. */
function requireOpenFiles(mounts: number, { record }: LiveContainer): void {
  if (allowOpenFiles(mounts)) return;
  const who = `container ${displayName(record.container ?? record.key)}`;
  throw new VeneerError(
    "OPEN_LIMIT",
    `${who} has ${mounts} mounts to move, and this process may not open that many files`,
    {
      hint: "raise its limit ('ulimit -n', systemd's LimitNOFILE=), or stop the container to rebase it",
    },
  );
}

/** Milliseconds for an overlay that nothing needs any more to be gone. */
const GONE_WITHIN = 500;

/** Restores the definition and the record. The mounts and the processes have been reverted by then. */
export function revertDocuments(
  store: Store,
  intent: RebaseIntent,
  instance: { readonly id: string; readonly before: Instance } | undefined,
): void {
  if (intent.from !== undefined) moveBackDurably(intent.from, `${intent.part}/upper`);
  if (instance) writeInstance(store, instance.id, instance.before);
  changeRecord(store, intent.record);
  // the overlay on it is gone, unless someone looks into /proc/PID/root at this moment
  if (intent.made && waitUntilFree(`${intent.part}/upper`, GONE_WITHIN)) {
    moveToTrash(store, intent.part);
    moveToTrash(store, maskLayerOf(intent.part));
  }
  removeIntent(store, intent.key);
}

/** The record may disappear at any moment, when the container ends: then there is none to change. */
function changeRecord(store: Store, record: UseRecord): void {
  if (readRecord(store, record.key)) replaceRecord(store, record);
}
