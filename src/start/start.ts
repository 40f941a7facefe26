/** Gives a container its root: request and facts to a plan, and the plan carried out. */

import { during, UsageError, VeneerError } from "../errors.ts";
import { idmapped } from "../overlay/mount-idmapped.ts";
import { mountSource } from "../overlay/mount-source.ts";
import { logEvent } from "../report/event-log.ts";
import type { Settings } from "../request/config.ts";
import type { RootRequest } from "../request/root-request.ts";
import { type BaseVersion, lockBase, readVersion } from "../store/bases.ts";
import { makeInstance } from "../store/create-instance.ts";
import { partDirectories } from "../store/frozen-uppers.ts";
import {
  checkInstanceBase,
  checkInstanceDigest,
  type Instance,
  lockInstance,
  readInstance,
  withMasks,
  writeInstance,
} from "../store/instances.ts";
import { refuseLxcMounted } from "../store/lxc-mount.ts";
import { hideBelow, maskedPaths } from "../store/masks.ts";
import { waitUntilFree } from "../store/mounts/in-use.ts";
import { isLive } from "../store/mounts/liveness.ts";
import type { Keeper } from "../store/mounts/mount-copies.ts";

import { freshUpper, type OpenLayers, openLayers } from "../store/open-layers.ts";
import { makeRun, makeStore, paths, type Store } from "../store/paths.ts";
import { findHolder, type Record, readRecord } from "../store/records.ts";
import type { FsIds } from "../sys/credentials.ts";
import { explainError } from "../sys/explain.ts";
import { type Fd, openatMaybe, openDirectory, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../sys/flags.ts";
import { requireKernel } from "../sys/kernel.ts";
import { identifySelf } from "../sys/process.ts";
import { warn } from "../sys/self.ts";
import { listFd } from "../sys/stat.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { displayName, formatBaseRef } from "../text/names.ts";
import { requireRoot } from "../userns/of-container.ts";
import { freshUpperOfImage } from "./image-upper.ts";
import type { Operation } from "./operations.ts";
import { type Consumer, planStart, type UpperPlan } from "./plan.ts";
import { dropDanglingHolder, reclaim } from "./release.ts";
import { describe, runOperations } from "./run-operations.ts";
import { idmapRefusal, refuseNamed, requireShifted, shiftedPaths } from "./shifted-layers.ts";

/** What a start adds after the overlay is in place. */
export type Extra = (record: Record) => Operation[];

/**
 * Mounts a root for a consumer. On return the overlay is mounted and its record is written; on failure nothing
 * is left. A second start of a named instance is refused with the holder's name.
 */
export function start(settings: Settings, request: RootRequest, consumer: Consumer, extra?: Extra): void {
  const { store } = settings;
  const what = displayName(request.instance ?? consumer.container ?? consumer.key);
  during(
    `start ${what}`,
    () => {
      requireKernel();
      makeStore(store);
      makeRun(store);
      const { instance } = request;
      const known = instance !== undefined && readInstance(store, instance) !== undefined;
      const named = known || (instance !== undefined && request.persistent);
      if (request.layered) checkLayered(consumer, named);
      const { userns } = consumer;
      const run = () => {
        if (named && !known) {
          // no instance is left of a start that is refused
          if (userns) tryIdmap(store, userns.fd);
          makeUnlessMade(store, instance, request);
        }
        (named ? startNamed : startEphemeral)(settings, request, consumer, extra);
      };
      if (!userns) {
        run();
        return;
      }
      try {
        run();
      } catch (error) {
        const refusal = idmapRefusal(error);
        if (!refusal) throw error;
        if (named) throw refuseNamed(refusal);
        startShifted(settings, request, consumer, refusal, extra);
      }
    },
    explainError,
  );
}

function tryIdmap(store: Store, userns: Fd): void {
  using root = openDirectory(store.root);
  idmapped(root, userns, store.root)[Symbol.dispose]();
}

/** On copies whose files have the owners already, with an upper of such owners too. */
function startShifted(
  settings: Settings,
  request: RootRequest,
  consumer: Consumer,
  refusal: VeneerError,
  extra?: Extra,
): void {
  const map = consumer.userns?.map;
  const allowed = request.shiftedCopy ?? settings.config.shiftedCopy;
  if (!request.base) throw refusal;
  const base = requireShifted(settings, request.base, map, allowed, refusal);
  startEphemeral(settings, { ...request, base }, consumer, extra, map);
}

/** An image's tree is there for one start: an upper that lasts would stand on what `veneer` cannot find again. */
function checkLayered(consumer: Consumer, named: boolean): void {
  const what = "run.veneer.rootfs=layer";
  if (named) {
    throw new UsageError(
      `${what} needs an ephemeral upper`,
      "add run.veneer.upper=ephemeral, or name no instance; or make a base of the image: 'veneer base import'",
    );
  }
  if (consumer.engine !== "runtime") {
    throw new UsageError(
      `${what} needs the wrapping runtime`,
      "use veneer-runc or veneer-crun, not the hook",
    );
  }
}

/** Reclaims an earlier start of the same container that was not torn down. */
function replaceOwnRecord(store: Store, consumer: Consumer): void {
  const old = readRecord(store, consumer.key);
  if (!old) return;
  if (isLive(old)) {
    const what = `${displayName(consumer.container ?? consumer.key)} already runs on ${old.source}`;
    throw new VeneerError("RUNNING", `container ${what}`, {
      hint: "'veneer ps' shows what runs; stop it first",
    });
  }
  reclaim(store, old);
}

function startNamed(settings: Settings, request: RootRequest, consumer: Consumer, extra?: Extra): void {
  const { store } = settings;
  const id = request.instance as string;
  using _instanceLock = lockInstance(store, id);
  const instance = readInstance(store, id);
  if (!instance) throw new VeneerError("NO_INSTANCE", `instance ${id} was removed meanwhile`);
  checkInstanceBase(id, instance, request.base);
  startLocked(settings, id, instance, consumer, request.mask, extra);
}

/**
 * Mounts an instance, whose lock the caller holds. Like {@link start}. What the configuration and `mask` hide is
 * hidden from then on.
 */
export function startLocked(
  settings: Settings,
  id: string,
  before: Instance,
  consumer: Consumer,
  mask: readonly string[] = [],
  extra?: Extra,
): void {
  const { store } = settings;
  const instance = withMasks(before, settings.config.mask, mask);
  refuseHeld(store, id);
  refuseLxcMounted(store, id);
  replaceOwnRecord(store, consumer);
  const ref = { name: instance.base, version: instance.version };
  using _baseLock = lockBase(store, ref);
  const base = readVersion(store, ref);
  checkInstanceDigest(id, instance, base);
  const generation = paths.generation(store, id, instance.generation);
  const [directory = generation, ...lower] = partDirectories(generation, instance);
  if (lower.length > MAX_LOWER_PARTS) throw mustMerge(id, lower.length);
  using layers = openLayers(
    store,
    base,
    lower.map((part) => `${part}/upper`),
  );
  if (instance.tmpfs === undefined) {
    refuseInUse(id, [directory, ...lower]);
    hideMasked(store, instance.mask, directory, lower.length, layers.fds);
  }
  if (instance !== before) writeInstance(store, id, instance);
  const upper: UpperPlan =
    instance.tmpfs === undefined
      ? { kind: "existing", directory, parts: lower.length }
      : { kind: "tmpfs", bytes: instance.tmpfs, ...freshUpper(layers.fds, instance) };
  carryOut(settings, { base, layers, instance: id, upper, consumer, mask: instance.mask }, extra);
}

/** `lower`: how many of the layers, from the top, are lower parts of the upper. */
function hideMasked(
  store: Store,
  mask: readonly string[],
  directory: string,
  lower: number,
  layers: readonly Fd[],
): void {
  if (mask.length === 0) return;
  using upper = openDirectory(`${directory}/upper`);
  const own = layers.slice(lower);
  hideBelow(store, maskedPaths(own, mask), [upper, ...layers.slice(0, lower)], own);
}

/** Of one that was rebased very often and whose merge was interrupted: overlayfs takes 500 layers in all. */
const MAX_LOWER_PARTS = 64;

function mustMerge(id: string, lower: number): VeneerError {
  return new VeneerError("PARTS", `the upper of instance ${id} is in ${lower + 1} parts after live rebases`, {
    hint: "'veneer gc' merges them",
  });
}

/** Another start of the same name may be quicker: then its instance is the one. */
function makeUnlessMade(store: Store, id: string, request: RootRequest): void {
  const { base } = request;
  if (!base) throw new VeneerError("NO_BASE", `instance ${id} does not exist and no base is named for it`);
  try {
    makeInstance(store, id, base, request);
  } catch (error) {
    if (!(error instanceof VeneerError && error.code === "EXISTS")) throw error;
  }
}

/**
 * Refuses an instance that something live holds, and clears what a dead holder left. The caller holds the
 * instance's lock, so no other start is between its check and its mount.
 */
export function refuseHeld(store: Store, id: string): void {
  const holder = findHolder(store, id);
  if (!holder) dropDanglingHolder(store, id);
  else if (isLive(holder)) throw heldBy(id, holder);
  else reclaim(store, holder);
}

/**
 * Refuses a generation (the directories of its parts) that is mounted without a record here: by another --run,
 * or after records were lost; or to which a root from before a live rebase still writes. A runtime that has run its
 * poststop hooks is given the time to end, and its mount namespace with it. One that was never mounted is told by
 * its empty work directory, in which overlayfs makes `work` at the first mount: asking the kernel takes a
 * millisecond.
 */
export function refuseInUse(id: string, parts: readonly string[]): void {
  const isFree = (part: string) => isEmpty(`${part}/work`) || waitUntilFree(`${part}/upper`, RELEASE_WAIT);
  if (parts.every(isFree)) return;
  throw inUse(id);
}

/** Of an instance whose overlay lives on without a record; `keeper`: in a namespace that others have copied, or that is kept. */
export function inUse(id: string, keeper?: Keeper): VeneerError {
  if (!keeper) {
    return new VeneerError("IN_USE", `instance ${id} is mounted, but veneer has no record of it`, {
      hint: "unmount it, or end what keeps it: 'findmnt -t overlay' and 'findmnt -t nsfs' show where",
    });
  }
  const { pid } = keeper;
  const where = pid === undefined ? "" : `, that of process ${pid}`;
  return new VeneerError(
    "IN_USE",
    `the overlay on instance ${id} lives on in another mount namespace${where}`,
    {
      hint:
        pid === undefined
          ? "end what keeps that namespace: a process in it, or a mount of its file ('findmnt -t nsfs')"
          : `end that process, or 'nsenter -m -t ${pid} umount' it there`,
    },
  );
}

function isEmpty(directory: string): boolean {
  using fd = openatMaybe(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  return fd !== undefined && listFd(fd.number, directory).length === 0;
}

/** Milliseconds. */
const RELEASE_WAIT = 2000;

export function heldBy(id: string, holder: Record): VeneerError {
  const who =
    holder.engine === "mount"
      ? `mounted on ${holder.target}`
      : `held by container ${displayName(holder.container ?? holder.key)} (${holder.engine})`;
  const pid = holder.process ? `, process ${holder.process.pid}` : "";
  return new VeneerError("HELD", `instance ${id} is ${who}${pid}, since ${holder.created}`, {
    hint: `stop that first${holder.engine === "mount" ? ` ('veneer umount ${id}')` : ""}, or use another instance`,
  });
}

/** `shifted`: the maps for which the layers were copied. */
function startEphemeral(
  settings: Settings,
  request: RootRequest,
  consumer: Consumer,
  extra?: Extra,
  shifted?: IdMap,
): void {
  const { store } = settings;
  const ref = request.base;
  if (!ref) {
    throw new VeneerError(
      "NO_INSTANCE",
      `no instance ${request.instance} in ${store.root}, and no base is named for it`,
      {
        hint: "'veneer ls' lists the instances",
      },
    );
  }
  if (request.instance !== undefined) refuseHeld(store, request.instance);
  replaceOwnRecord(store, consumer);
  using _baseLock = lockBase(store, ref);
  const base = readVersion(store, ref);
  const image = request.layered && "target" in consumer.place ? [consumer.place.target] : [];
  const copies = shifted && shiftedPaths(store, base.manifest, shifted);
  using layers = openLayers(store, base, image, copies);
  const ephemeral = uniqueSuffix();
  const fresh =
    image.length > 0 && consumer.userns && !shifted
      ? freshUpperOfImage(layers, consumer.userns, request)
      : freshUpper(layers.fds, request);
  const upper: UpperPlan =
    request.tmpfs === undefined
      ? { kind: "fresh", directory: paths.ephemeral(store, ephemeral), ...fresh }
      : { kind: "tmpfs", bytes: request.tmpfs, ...fresh };
  const instance = request.instance === undefined ? {} : { instance: request.instance };
  carryOut(
    settings,
    {
      base,
      layers,
      ...instance,
      ephemeral,
      upper,
      consumer,
      mask: request.mask,
      image: image.length > 0,
      ...(shifted && { shifted: requireRoot(shifted) }),
    },
    extra,
  );
}

interface Prepared {
  readonly base: BaseVersion;
  readonly layers: OpenLayers;
  readonly instance?: string;
  readonly ephemeral?: string;
  readonly upper: UpperPlan;
  readonly consumer: Consumer;
  readonly mask: readonly string[];
  readonly image?: boolean;
  /** root of the user namespace whose owners the layers have */
  readonly shifted?: FsIds;
}

function carryOut(settings: Settings, prepared: Prepared, extra: Extra | undefined): void {
  const { layers, ...rest } = prepared;
  const operations = planStart({
    ...rest,
    store: settings.store,
    layers: layers.paths,
    source: mountSource(rest.instance ?? (rest.ephemeral as string)),
    preparer: rest.consumer.preparer ?? identifySelf(),
    now: new Date().toISOString(),
  });
  const first = operations[0];
  if (extra && first?.op === "record") operations.push(...extra(first.record));
  if (settings.debug) for (const operation of operations) warn(`veneer: ${describe(operation)}`);
  const { engine, container } = rest.consumer;
  const report = (error: unknown) =>
    logEvent(settings.config, { event: "error", engine, container, instance: rest.instance, error });
  runOperations(settings.store, operations, layers.fds, report, rest.consumer.userns?.fd);
  const base = formatBaseRef({ name: rest.base.name, version: rest.base.version });
  logEvent(settings.config, { event: "start", engine, container, instance: rest.instance, base });
}
