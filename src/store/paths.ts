/** Paths of everything in a store. The caller has validated every name with names.ts. */
import { VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { mkdirs } from "../sys/fd.ts";
import { geteuid } from "../sys/process.ts";
import { lstatMaybe, type Stat, statMaybe } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";

export interface Store {
  /** durable state: bases, layers, instances */
  readonly root: string;
  /** records of what runs; gone after a reboot */
  readonly run: string;
}

export const DEFAULT_ROOT = "/var/lib/veneer";
export const DEFAULT_RUN = "/run/veneer";
export const DEFAULT_CONFIG = "/etc/veneer/config.json";

export const paths = {
  bases: (store: Store) => `${store.root}/bases`,
  base: (store: Store, name: string) => `${store.root}/bases/${name}`,
  baseFile: (store: Store, name: string) => `${store.root}/bases/${name}/base.json`,
  /** the users with whom root shares the base */
  shareFile: (store: Store, name: string) => `${store.root}/bases/${name}/share.json`,
  versions: (store: Store, name: string) => `${store.root}/bases/${name}/versions`,
  manifest: (store: Store, name: string, version: number) =>
    `${store.root}/bases/${name}/versions/${version}.json`,
  /** an edit session: session.json, layer/tree (its upper) and work */
  session: (store: Store, name: string) => `${store.root}/bases/${name}/session`,
  sessionFile: (store: Store, name: string) => `${store.root}/bases/${name}/session/session.json`,
  sessionLayer: (store: Store, name: string) => `${store.root}/bases/${name}/session/layer`,
  sessionUpper: (store: Store, name: string) => `${store.root}/bases/${name}/session/layer/tree`,
  sessionWork: (store: Store, name: string) => `${store.root}/bases/${name}/session/work`,
  /** an unfinished rollout */
  rollout: (store: Store, name: string) => `${store.root}/bases/${name}/rollout`,
  rolloutFile: (store: Store, name: string) => `${store.root}/bases/${name}/rollout/state.json`,
  /** an unfinished round of updates */
  update: (store: Store, name: string) => `${store.root}/bases/${name}/update`,
  updateFile: (store: Store, name: string) => `${store.root}/bases/${name}/update/state.json`,
  layers: (store: Store) => `${store.root}/layers`,
  layer: (store: Store, id: string) => `${store.root}/layers/${id}`,
  layerFile: (store: Store, id: string) => `${store.root}/layers/${id}/layer.json`,
  layerTree: (store: Store, id: string) => `${store.root}/layers/${id}/tree`,
  /** the tree of a copy of the layer whose owners are shifted by a pair of maps, named after the maps */
  shifted: (store: Store, id: string, maps: string) => `${store.root}/layers/${id}/shifted/${maps}`,
  instances: (store: Store) => `${store.root}/instances`,
  instance: (store: Store, id: string) => `${store.root}/instances/${id}`,
  instanceFile: (store: Store, id: string) => `${store.root}/instances/${id}/instance.json`,
  generation: (store: Store, id: string, generation: number) => `${store.root}/instances/${id}/${generation}`,
  /** exists while a merge of parts holds the instance's lock; the merge stops when another process removes it */
  merging: (store: Store, id: string) => `${store.root}/instances/${id}/merging`,
  ephemerals: (store: Store) => `${store.root}/ephemeral`,
  ephemeral: (store: Store, id: string) => `${store.root}/ephemeral/${id}`,
  staging: (store: Store) => `${store.root}/staging`,
  trash: (store: Store) => `${store.root}/trash`,
  records: (store: Store) => `${store.run}/records`,
  record: (store: Store, key: string) => `${store.run}/records/${key}.json`,
  /** the journal of a live rebase of a record's container */
  moving: (store: Store, key: string) => `${store.run}/moving/${key}.json`,
  /** symbolic link to the key of the record that holds a named instance */
  held: (store: Store, instance: string) => `${store.run}/held/${instance}`,
  /** the rewritten config.json of a container, made by the wrapping runtime */
  config: (store: Store, key: string) => `${store.run}/configs/${key}.json`,
  /** marks of starts by the wrapping runtime that are not yet known to have become a container */
  starts: (store: Store) => `${store.run}/starts`,
  startMark: (store: Store, key: string) => `${store.run}/starts/${key}`,
  /** bundles of `veneer run` */
  bundles: (store: Store) => `${store.run}/bundles`,
  bundle: (store: Store, id: string) => `${store.run}/bundles/${id}`,
  /** output of containers of `veneer run --detach`; `.log.1` is the older part */
  outputs: (store: Store) => `${store.run}/logs`,
  output: (store: Store, id: string) => `${store.run}/logs/${id}.log`,
  earlierOutput: (store: Store, id: string) => `${store.run}/logs/${id}.log.1`,
  /** --root of a runtime for the containers of `veneer run`, so that their ids cannot collide with an engine's */
  runtimeState: (store: Store, runtime: string) => `${store.run}/${runtime}`,
  /** user namespaces kept for their id maps */
  namespaces: (store: Store) => `${store.run}/userns`,
  /** where a container's overlay is mounted on the host */
  rootPoint: (store: Store, key: string) => `${store.run}/roots/${key}`,
  /** like rootPoint, but reachable for the root of a container's user namespace */
  mappedPoint: (store: Store, key: string) => `${store.run}/mapped/${key}/root`,
  mountPoint: (store: Store, id: string) => `${store.run}/mnt/${id}`,
  /** where `base edit` mounts a session */
  editPoint: (store: Store, name: string) => `${store.run}/edit/${name}`,
} as const;

/**
 * Creates the store's directories with mode 0700, because uppers hold setuid files that other users of the host must
 * not reach. Idempotent. The format file tells later versions which format they find.
 */
export function makeStore(store: Store): void {
  const { bases, layers, instances, staging, trash, ephemerals } = paths;
  const mark = `${store.root}/userxattr`;
  const marked = inUserNamespace() || geteuid() !== 0;
  const directories = [bases, layers, instances, staging, trash, ephemerals].map((make) => make(store));
  if (makeDirectories(store.root, marked ? [mark, ...directories] : directories)) return;
  if ((lstatMaybe(mark) !== undefined) !== marked) refuseOtherKind(store.root, marked);
}

/** Throws: with the other kind of xattrs, overlayfs would not see its marks, and hidden files would appear. */
function refuseOtherKind(root: string, marked: boolean): void {
  const [is, here] = marked ? ["trusted.overlay", "user.overlay"] : ["user.overlay", "trusted.overlay"];
  throw new VeneerError(
    "OTHER_KIND",
    `${root} has overlayfs attributes in ${is}.*, but overlays here read ${here}.*`,
    {
      hint: "a store is used with root's rights or in a user namespace, as it was made: 'veneer base export' and 'base import' carry bases over",
    },
  );
}

/** Creates the directories for records, with mode 0700. Idempotent. */
export function makeRun(store: Store): void {
  makeDirectories(store.run, [`${store.run}/configs`, `${store.run}/held`, paths.records(store)]);
}

/**
 * Creates missing directories; returns whether any were missing. Takes one system call when none is, which is every
 * time but the first. The last directory is created after all others, so where it exists, even after a kill or while
 * another process does the same, all of them exist.
 */
function makeDirectories(place: string, directories: readonly string[]): boolean {
  const last = lstatMaybe(directories.at(-1) as string);
  if (last && last.uid !== 0) refuseOthers(place, last.uid);
  if (last) return false;
  for (const path of directories) mkdirs(path, 0o700);
  return true;
}

/**
 * Throws where others than this user and root can write to the store or its records: who writes there decides what is
 * mounted, signalled and deleted. What cannot be reached cannot be read either, and fails then. Two system calls.
 */
export function refuseForeign(store: Store): void {
  for (const place of [store.root, store.run]) {
    const status = reachable(place);
    if (!status) continue;
    if (status.uid !== 0) refuseOthers(place, status.uid);
    if ((status.mode & 0o002) === 0) continue;
    throw new VeneerError("NOT_YOURS", `everybody may write to ${place}`, {
      hint: `chmod o-w ${place}, or name another directory with --root and --run`,
    });
  }
}

function reachable(place: string): Stat | undefined {
  try {
    return statMaybe(place);
  } catch (error) {
    if (isErrno(error, "EACCES", "ELOOP", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

/** A store belongs to one user: its owners and xattrs depend on that user's namespace. */
function refuseOthers(place: string, uid: number): void {
  if (uid === geteuid()) return;
  throw new VeneerError("NOT_YOURS", `${place} belongs to uid ${uid}`, {
    hint: "each user has a store of its own: run veneer as that user, or name another one with --root and --run",
  });
}
