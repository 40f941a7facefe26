/** The start of a named instance, which keeps its changes. */
import { VeneerError } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import type { RootRequest } from "../request/root-request.ts";
import { lockBase, readVersion } from "../store/bases.ts";
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
import { ADMINISTRATOR, type Maker, refuseForeign } from "../store/makers.ts";
import { hideBelow, maskedPaths } from "../store/masks.ts";

import { freshUpper, openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { type Fd, openDirectory } from "../sys/fd.ts";
import { carryOut, idmapFor, replaceOwnRecord } from "./carry-out.ts";
import type { AfterMount, StartTarget, UpperPlan } from "./plan.ts";
import { refuseHeld, refuseInUse } from "./refuse-held.ts";
import { refuseNamed } from "./shifted-layers.ts";

/** Creates the instance of a start unless it exists. Throws before that when its upper could not be idmapped. */
export function makeNamed(store: Store, id: string, request: RootRequest, target: StartTarget): void {
  const tried = idmapFor(store, target, { fds: [], paths: [] }, { inMemory: request.tmpfs !== undefined });
  if (tried?.kind === "refused") throw refuseNamed(tried.why);
  makeUnlessMade(store, id, request, askerOf(request, target));
}

/** Who asks for the instance. */
function askerOf({ claim }: RootRequest, { tenant = "", container = "" }: StartTarget): Maker {
  if (claim === undefined) return { tenant: ADMINISTRATOR };
  return claim === "implied" ? { tenant, container } : { tenant };
}

export function startNamed(
  settings: Settings,
  request: RootRequest,
  target: StartTarget,
  afterMount?: AfterMount,
): void {
  const { store } = settings;
  const id = request.instance as string;
  using _instanceLock = lockInstance(store, id);
  const instance = readInstance(store, id);
  if (!instance) throw new VeneerError("NO_INSTANCE", `instance ${id} was removed meanwhile`);
  refuseForeign(id, instance.maker, askerOf(request, target));
  checkInstanceBase(id, instance, request.base);
  startLocked(settings, id, instance, target, request.mask, afterMount);
}

/**
 * Like {@link start}, for an existing instance whose lock the caller holds. Adds the masks of the configuration and of
 * `mask` to the instance for good.
 */
export function startLocked(
  settings: Settings,
  id: string,
  before: Instance,
  target: StartTarget,
  mask: readonly string[] = [],
  afterMount?: AfterMount,
): void {
  const { store } = settings;
  const instance = withMasks(before, settings.config.mask, mask);
  refuseHeld(store, id);
  refuseLxcMounted(store, id);
  replaceOwnRecord(store, target);
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
  const inMemory = instance.tmpfs !== undefined;
  const idmap = idmapFor(store, target, layers, { inMemory });
  if (idmap?.kind === "refused") throw refuseNamed(idmap.why);
  if (!inMemory) {
    refuseInUse(id, [directory, ...lower]);
    hideMasked(store, instance.mask, directory, lower.length, layers.fds);
  }
  if (instance !== before) writeInstance(store, id, instance);
  const upper: UpperPlan =
    instance.tmpfs === undefined
      ? { kind: "existing", directory, parts: lower.length }
      : { kind: "tmpfs", bytes: instance.tmpfs, ...freshUpper(layers.fds, instance) };
  carryOut(settings, {
    base,
    layers,
    idmap,
    instance: id,
    upper,
    target,
    afterMount,
    mask: instance.mask,
  });
}

/** `lower` is how many of the top layers are lower parts of the upper. */
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

/** A limit for instances that were rebased very often without a merge: overlayfs allows 500 layers in all. */
const MAX_LOWER_PARTS = 64;

function mustMerge(id: string, lower: number): VeneerError {
  return new VeneerError("PARTS", `the upper of instance ${id} is in ${lower + 1} parts after live rebases`, {
    hint: "'veneer gc' merges them",
  });
}

/** Creates an instance, unless another start of the same name has created it just now. */
function makeUnlessMade(store: Store, id: string, request: RootRequest, maker: Maker): void {
  const { base } = request;
  if (!base) throw new VeneerError("NO_BASE", `instance ${id} does not exist and no base is named for it`);
  try {
    makeInstance(store, id, base, { ...request, maker });
  } catch (error) {
    if (!(error instanceof VeneerError && error.code === "EXISTS")) throw error;
  }
}
