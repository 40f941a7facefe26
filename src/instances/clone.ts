/** Copies the upper of an instance: to another instance, or as a layer of a version of a base. */

import { VeneerError, withContext } from "../errors.ts";
import { discard } from "../layers/discard.ts";
import { shortenLayers } from "../layers/flatten.ts";
import { publishVersion } from "../layers/publish-version.ts";
import type { CommitOptions, Published } from "../layers/published.ts";
import { sealLayer } from "../layers/seal.ts";
import { shareNew } from "../layers/share-files.ts";
import { checkStackable } from "../layers/stackable.ts";
import { changesNothing } from "../layers/unchanged.ts";
import type { Progress } from "../process/progress.ts";
import { type BaseVersion, readVersion } from "../store/bases.ts";
import { publish } from "../store/create-instance.ts";
import { writeDocument } from "../store/document.ts";
import {
  checkInstanceDigest,
  type Instance,
  readInstance,
  refuseTmpfs,
  requireInstance,
  requireLock,
} from "../store/instances.ts";
import { lockLayers, publishLayer, syncStore } from "../store/layers.ts";
import { ADMINISTRATOR } from "../store/makers.ts";
import { openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { refuseShared } from "../store/shared.ts";
import { makeStaging } from "../store/staging.ts";
import { readBaseFile, requireCurrent } from "../store/versions.ts";
import { mkdirat } from "../sys/fd.ts";
import { AT_FDCWD } from "../sys/flags.ts";
import { formatBaseRef } from "../text/names.ts";
import { copyOverlay } from "../trees/copy-tree.ts";
import { mergedInstance } from "./frozen-uppers-merge.ts";
import { holdLxc } from "./lxc-mount.ts";
import { refuseMounted } from "./while-unmounted.ts";

/** An upper to copy, held until it is disposed so that nothing changes it. */
export interface CopySource extends Disposable {
  /** its name in messages */
  readonly id: string;
  readonly definition: Instance;
  /** Copies the changes to `target`; `overlay` is that of {@link copyOverlay}. Called at most once. */
  copy(target: string, overlay: "all" | "layer", progress: Progress): Promise<void>;
}

/** Holds an unused instance so that its upper can be copied. Throws while anything holds the instance. */
export function holdUnused(store: Store, id: string): CopySource {
  const lock = requireLock(store, id);
  let lxc: Disposable | undefined;
  const release = () => {
    lxc?.[Symbol.dispose]();
    lock[Symbol.dispose]();
  };
  try {
    const definition = requireInstance(store, id);
    lxc = holdLxc(store, id);
    refuseMounted(store, id, definition);
    return {
      id,
      definition,
      copy: (target, overlay, progress) => copyUpper(store, id, definition, target, progress, overlay),
      [Symbol.dispose]: release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * Creates the instance `name` with the definition of `source` and a copy of its current changes, with reflinks where
 * the file system supports them. The copy appears complete or not at all, and is durable on return. Throws EXISTS when
 * the name is taken.
 */
export async function cloneInstance(
  store: Store,
  source: CopySource,
  name: string,
  progress: Progress,
): Promise<void> {
  const { definition } = source;
  if (readInstance(store, name)) throw exists(name);
  using staging = makeStaging(store);
  mkdirat(AT_FDCWD, `${staging.path}/1`, 0o700);
  if (definition.tmpfs === undefined) {
    await source.copy(`${staging.path}/1/upper`, "all", progress);
    mkdirat(AT_FDCWD, `${staging.path}/1/work`, 0o700);
  }
  writeDocument(`${staging.path}/instance.json`, cloned(definition, new Date().toISOString()));
  progress.step("syncing");
  syncStore(store);
  publish(store, staging.path, name);
}

function exists(name: string): VeneerError {
  return new VeneerError("EXISTS", `instance ${name} exists already`, {
    hint: `use another name, or remove it with 'veneer rm ${name}'`,
  });
}

/** The definition of a copy: without the kept generations and the mount point, and with all parts copied as one. */
function cloned(instance: Instance, now: string): Instance {
  const {
    kept: _1,
    previous: _2,
    mounted: _3,
    owner: _4,
    maker: _7,
    parts: _5,
    folded: _6,
    fresh: _8,
    ...rest
  } = instance;
  return { ...rest, maker: { tenant: ADMINISTRATOR }, generation: 1, since: now, created: now };
}

async function copyUpper(
  store: Store,
  id: string,
  instance: Instance,
  target: string,
  progress: Progress,
  overlay: "all" | "layer",
): Promise<void> {
  const { generation } = mergedInstance(store, id, instance);
  progress.step(`copying ${id}`);
  const upper = `${paths.generation(store, id, generation)}/upper`;
  await copyOverlay(upper, target, overlay);
}

/**
 * Publishes the changes of an instance as a layer. When `name` is the base of the instance, that is the top layer of
 * its next version, provided the instance is on the current version (on any, with `force`); otherwise of a new base.
 * Publishes no next version when only times changed, unless `always`. Does not change the instance. Durable on return;
 * a kill before that leaves no version. Throws EXISTS when `name` is another existing base.
 */
export async function commitInstance(
  store: Store,
  source: CopySource,
  name: string,
  progress: Progress,
  options: CommitOptions = {},
): Promise<Published> {
  const { id, definition: instance } = source;
  refuseTmpfs(id, instance, "commit");
  const ground = readVersion(store, { name: instance.base, version: instance.version });
  checkInstanceDigest(id, instance, ground);
  const own = name === instance.base;
  requireRoom(store, id, name, ground, options.force);
  using staging = makeStaging(store);
  mkdirat(AT_FDCWD, `${staging.path}/layer`, 0o700);
  checkStackable(ground, `${staging.path}/layer`);
  await source.copy(`${staging.path}/layer/tree`, "layer", progress);
  for (const path of options.exclude ?? []) discard(`${staging.path}/layer/tree`, path);
  if (own && !options.always && isUnchanged(store, ground, `${staging.path}/layer/tree`)) {
    return { ...ground, unchanged: true };
  }
  using _layers = lockLayers(store);
  const shared = shareNew(store, `${staging.path}/layer/tree`, progress, options.shareFiles);
  progress.step("listing");
  const origin = `commit of instance ${id}`;
  const sealed = sealLayer(`${staging.path}/layer`, { origin, shared });
  progress.step("syncing");
  syncStore(store);
  publishLayer(store, sealed);
  const { config, layers } = ground.manifest;
  return publishVersion(
    store,
    name,
    {
      layers: [{ id: sealed.id }, ...(await shortenLayers(store, layers, progress))],
      origin,
      ...(config && { config }),
      ...(!own && { from: { name: ground.name, version: ground.version } }),
    },
    !own ? "new" : options.force ? undefined : { current: ground.version },
  );
}

function isUnchanged(store: Store, ground: BaseVersion, tree: string): boolean {
  using layers = openLayers(store, ground);
  return changesNothing(tree, layers.fds);
}

/** Throws before the copy what {@link publishVersion} would throw after it. */
function requireRoom(store: Store, id: string, name: string, ground: BaseVersion, force = false): void {
  const ref = formatBaseRef(ground);
  if (name !== ground.name && readBaseFile(store, name)) {
    throw new VeneerError("EXISTS", `base ${name} exists already, and instance ${id} is on ${ref}`, {
      hint: `name a new base, or ${ground.name} for its next version`,
    });
  }
  if (name !== ground.name) return;
  refuseShared(store, name);
  if (force) return;
  withContext(
    `instance ${id} is on ${ref}`,
    () => requireCurrent(store, name, ground.version),
    () =>
      `'veneer rebase ${id} ${name}' moves its changes onto the current version first; --force makes a version that undoes what was changed since`,
  );
}
