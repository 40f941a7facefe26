/** The moment in which a container is frozen and gets its new root. */
import { VeneerError, withContext } from "../errors.ts";
import type { Instance } from "../store/instances.ts";
import { makeMaskLayer } from "../store/masks.ts";
import type { Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { withFsIds } from "../sys/credentials.ts";
import { explainError } from "../sys/explain.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { MS_PRIVATE } from "../sys/flags.ts";
import { insideMountNamespace } from "../sys/namespace.ts";
import { ignoreSignals } from "../sys/process/signals.ts";
import { isShared } from "../sys/propagation.ts";
import { judge, refuseBlockers, type Uppers, withCommands } from "./blockers.ts";
import { type Blocker, blockers } from "./file-blockers.ts";
import { freezeAll, stopNewcomers, thawAll } from "./freeze.ts";
import type { LiveContainer } from "./inspect.ts";
import type { FreezePlan, RebaseIntent } from "./journal.ts";
import { lookNow } from "./look.ts";
import { mountNew, type NewOverlay } from "./new-root.ts";
import { emptyNewUpper, fillNewUpper } from "./new-upper.ts";
import { openForWriting } from "./open-files.ts";
import { beginPause, type Pause, type PauseLimit } from "./pause.ts";
import { finishOrRevert, pivotToNewRoot } from "./pivot.ts";
import { findMembers, type Members, pidsIn } from "./processes.ts";
import { openSources, type Prepared, prepareCopies, rebindAll, switchCopies } from "./root-copies.ts";
import type { Guard } from "./watchdog.ts";

/** The root that a container is to get. */
export interface NewRoot extends Uppers {
  readonly verb: "rebase" | "fallback";
  /** the container's own layers, open, top first: they lie above those of the version */
  readonly own: readonly Fd[];
  /** layers of the version, open, top first */
  readonly version: readonly Fd[];
  /** paths of the version that the container may not see */
  readonly masked: readonly string[];
  /** where the layer goes that hides them */
  readonly maskLayer: string;
  /** holds `upper` and `work` */
  readonly directory: string;
  /** makes the directory, which is removed again on failure; absent: it exists and stays */
  readonly make?: () => void;
  readonly volatile: boolean;
  /** what will hold afterwards: the whole record but for what the switch adds */
  readonly record: UseRecord;
  readonly instance?: { readonly id: string; readonly before: Instance; readonly after: Instance };
  /** called when the definition and the record name the new root, before anybody is waited for */
  readonly written: () => void;
  /** go on in spite of blockers */
  readonly force: boolean;
  /** milliseconds for which the container may be frozen */
  readonly pauseLimit: number;
}

/** What a switch did. */
export interface SwitchResult {
  /** milliseconds for which nothing in the container ran */
  readonly pause: number;
  /** files that are open for writing and stay the same file for every process */
  readonly linked: readonly string[];
  /** mount points that stay on the old root: parts of it that could not be switched */
  readonly kept: readonly string[];
  /** the blockers that `force` ignored */
  readonly blockers: readonly Blocker[];
  /** why the container's changes stay in its old upper; absent where they moved along */
  readonly stays?: string;
}

/** A switch that is under way. */
export interface SwitchState {
  readonly store: Store;
  readonly container: LiveContainer;
  readonly next: NewRoot;
  intent: RebaseIntent;
  /** thaws the container when this process is killed or hangs */
  readonly guard: Guard;
  /** the locks on the intents */
  readonly holders: Fd[];
  /** the container's mounts are being moved, or were */
  switching: boolean;
  /** why the container's changes stay in its old upper; absent where they move along */
  stays?: string;
  /** the container has its new root */
  switched: boolean;
  /** some of its processes may be frozen, or the container may be between the two roots */
  frozen: boolean;
}

/**
 * Milliseconds: how long to look for a moment without blockers; how long one and the same blocker must be there to
 * end the search; and the longest time between two tries.
 */
const PATIENCE = 10_000;
const PERSISTENCE = 1500;
const LONGEST_WAIT = 60;

/** How often freezing and looking may exceed the limit of the pause. */
const LATE_TRIES = 4;

/** The overlay that the container is to get, as a detached mount. */
export function mountNext(next: NewRoot, container: LiveContainer, store: Store) {
  const { own, version, directory, volatile } = next;
  const source = container.record.source as string;
  using masks = makeMaskLayer(store, next.maskLayer, next.masked, version);
  const layers = [...own, ...(masks ? [masks] : []), ...version];
  const mapped = container.mapped ? container.init.pid : undefined;
  return mountNew({ layers, directory, root: store.root, volatile, source }, mapped);
}

/** Tries until nothing blocks the switch. */
export function switchWithRetry(state: SwitchState, overlay: NewOverlay): SwitchResult {
  const { next } = state;
  using upper = openDirectory(`${next.directory}/upper`);
  const begin = performance.now();
  let persistent: readonly Blocker[] | undefined;
  let tries = LATE_TRIES;
  for (;;) {
    const result = trySwitchInTime(state, overlay, upper, --tries > 0);
    if (result === "again") continue;
    if (!("blocked" in result)) return result;
    const { blocked } = result;
    persistent = persistent?.filter((one) => blocked.some((other) => isSameBlocker(one, other))) ?? blocked;
    const waited = performance.now() - begin;
    if (waited > PERSISTENCE) refuseBlockers(withCommands(persistent), next);
    if (waited > PATIENCE) refuseBlockers(withCommands(blocked), next);
    Bun.sleepSync(1 + Math.random() * LONGEST_WAIT);
  }
}

/** On a busy machine the frozen look may exceed the limit although the look beforehand did not. */
function trySwitchInTime(state: SwitchState, overlay: NewOverlay, upper: Fd, again: boolean) {
  try {
    return trySwitch(state, overlay, upper);
  } catch (error) {
    // everything is reverted by now, but the overlay was mounted, so there is no second try
    const late = error instanceof VeneerError && error.code === "PAUSE";
    if (!late || !again || state.switching) throw error;
    return "again";
  }
}

function isSameBlocker(a: Blocker, b: Blocker): boolean {
  return a.pid === b.pid && a.path === b.path;
}

function trySwitch(
  state: SwitchState,
  overlay: NewOverlay,
  upper: Fd,
): SwitchResult | { readonly blocked: readonly Blocker[] } | "again" {
  using _signals = ignoreSignals();
  const { next, container, intent } = state;
  const { members, rootIds } = container;
  let plan: FreezePlan = intent.halt;
  const begin = performance.now();
  const pause = beginPause(pauseLimit(container, next.pauseLimit));
  state.frozen = true;
  let result: Omit<SwitchResult, "pause"> | { readonly blocked: readonly Blocker[] } | "again";
  try {
    state.guard.frozen(plan);
    freezeAll(plan, pause.left());
    plan = stopNewcomers(state, members, () => findMembers(container.init.pid));
    const opened = openForWriting(frozen(members, plan), rootIds, lookNow(pause.check), pause.check);
    const judged = judge(opened, next, state.stays === undefined, pause.check);
    const inTheWay = blockers(judged.map(({ file }) => file));
    if (inTheWay.length > 0 && !next.force) result = { blocked: inTheWay };
    else {
      const found = judged.flatMap((one) => one.found ?? []);
      if (fillNewUpper(state, upper, found, pause)) {
        const kept = switchMounts(state, overlay, pause);
        const linked = [...new Set(found.map(({ path }) => `/${path}`))];
        result = {
          kept,
          linked,
          blockers: inTheWay,
          ...(state.stays !== undefined && { stays: state.stays }),
        };
      } else result = "again";
    }
  } catch (error) {
    try {
      if (!state.switched && !isBetween(error)) emptyNewUpper(state, upper);
    } finally {
      thawAll(plan);
      state.guard.thawed();
      state.frozen = state.frozen && isBetween(error);
    }
    throw error;
  }
  thawAll(plan);
  state.guard.thawed();
  state.frozen = false;
  return result === "again" || "blocked" in result ? result : { ...result, pause: performance.now() - begin };
}

export function pauseLimit({ record }: LiveContainer, limit: number): PauseLimit {
  return { limit, container: record.container ?? record.key, act: "rebase" };
}

/** Processes that are frozen now. */
function frozen({ freezer, outside, pids }: Members, plan: FreezePlan): number[] {
  const stopped = plan.stopped.map(({ pid }) => pid);
  const grouped = freezer ? [...pidsIn(freezer.path), ...outside.map(({ pid }) => pid)] : pids;
  return [...new Set([...grouped, ...stopped])];
}

/** All or nothing, except where the undo itself fails: then the error has the code of {@link isBetween}. */
function switchMounts(state: SwitchState, { mount, ids }: NewOverlay, pause: Pause): string[] {
  const { init, bound, copies, root, rootIds } = state.container;
  const shared = isShared(root);
  const sources = openSources(mount, [...bound, ...copies.flatMap((copy) => copy.bound)]);
  let prepared: Prepared | undefined;
  state.switching = true;
  try {
    const kept = insideMountNamespace(init.pid, (proc) => {
      const swap = () =>
        pivotToNewRoot(mount, proc, init.pid, new Set([root.device]), MS_PRIVATE, pause.check);
      try {
        withContext("switch the root", () => (ids ? withFsIds(ids, swap) : swap()), explainError);
        state.switched = true;
      } catch (error) {
        try {
          state.switched = finishOrRevert(state.intent, proc, root.device) === "new";
        } catch (cause) {
          throw new VeneerError(BETWEEN, "the root is half switched", {
            cause,
            hint: "'veneer gc' tries again to finish or revert the switch",
          });
        }
        throw error;
      }
      if (bound.length + copies.length === 0) return [];
      prepared = prepareCopies(mount, bound, copies, sources);
      return rebindAll(bound, prepared.bound, shared);
    });
    return [...kept, ...(prepared ? switchCopies(prepared, rootIds.devices, shared) : [])];
  } finally {
    prepared?.[Symbol.dispose]();
    for (const source of sources.values()) source[Symbol.dispose]();
  }
}

const BETWEEN = "BETWEEN_ROOTS";

function isBetween(error: unknown): boolean {
  return error instanceof VeneerError && error.code === BETWEEN;
}
