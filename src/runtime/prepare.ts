/** Prepares a container for the real runtime, which this process becomes afterwards. */

import { VeneerError, withContext } from "../errors.ts";
import { dockerOwner, ownedInstance } from "../request/docker.ts";
import { refuseInstanceOfImage, refuseLabelsOfImage } from "../request/image-annotations.ts";
import { type BundleConfig, rootPath } from "../request/oci-config.ts";
import {
  isSandbox,
  mergeOptions,
  optionsOfAnnotations,
  optionsOfProcess,
  type RootRequest,
} from "../request/root-request.ts";
import type { RuntimeCall } from "../request/runtime-args.ts";
import { tenantOf } from "../request/tenant.ts";
import type { Operation } from "../start/operations.ts";
import { checkRestorable } from "../start/restore.ts";
import { start } from "../start/start.ts";
import { paths } from "../store/paths.ts";
import { recordKey, type UseRecord } from "../store/records.ts";
import { type Fd, openDirectory, uniqueSuffix } from "../sys/fd.ts";
import { keepMountsHere, keepsGroups, unshareMounts } from "../sys/mount-here.ts";
import { geteuid } from "../sys/process.ts";
import { lstatMaybe, type Stat, statMaybe } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { checkContainerId } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { usernsOfConfig } from "../userns/of-container.ts";
import type { Bundle, Caller, Wanted } from "./bundle.ts";
import { clearFailedStarts, markStart } from "./earlier-starts.ts";
import { refuseRootAbove, refuseTwoRoots, requireGroups, requireOwnNamespace } from "./placement.ts";
import { type MovedSource, rewriteConfig } from "./poststop.ts";

/**
 * Mounts the root of a container on a base, in a new mount namespace, which this process enters. On return the real
 * runtime can be executed. Does nothing for a pod's sandbox, whose annotations are meant for the pod's containers, and
 * for a container whose annotations name neither base nor instance.
 */
export function prepareContainer(caller: Caller, call: RuntimeCall, { bundle, config }: Wanted): void {
  const { settings, runtime } = caller;
  const { store } = settings;
  const request = isSandbox(config.annotations) ? undefined : requestOf(caller, call.id, bundle, config);
  if (!request) return;
  const id = checkContainerId(call.id);
  refuseExisting(runtime.name, id, call.root);
  requireOwnNamespace(config);
  requireGroups(config);
  if (call.command === "restore") withContext(`restore ${id}`, () => checkRestorable(store, request));
  clearFailedStarts(store);
  using userns = usernsOfConfig(store, config);
  const target = rootPath(config, bundle.path);
  checkRoot(target, config, bundle);
  const moved = movedSources(config, bundle);
  enterNamespace();
  const addHook = (record: UseRecord): Operation[] => {
    const file = paths.config(store, record.key);
    const sources = moved.map((index): MovedSource => ({ index, source: file }));
    const text = rewriteConfig(bundle.text, store, record, settings.config, sources);
    return [
      { op: "bind-file", file, text, target: bundle.file, ...(moved.length > 0 && { exchange: true }) },
    ];
  };
  // each start gets a key of its own, because the release of an earlier one may still be running
  const key = recordKey("runtime", id, `${bundle.path}\0${uniqueSuffix()}`);
  const started = {
    engine: "runtime",
    key,
    container: id,
    bundle: bundle.path,
    tenant: tenantOf(bundle.path, config.annotations),
    ...(userns && { userns }),
    mountAt: { kind: "directory", placement: "private", path: target },
  } as const;
  start(settings, request, started, addHook);
  markStart(store, key);
}

function requestOf(
  caller: Caller,
  id: string,
  bundle: Bundle,
  config: BundleConfig,
): RootRequest | undefined {
  const { settings, byHand } = caller;
  const annotations = withContext(bundle.file, () => optionsOfAnnotations(config.annotations));
  if (byHand) return mergeOptions(annotations, {}, settings.config, id);
  refuseInstanceOfImage(config.root.path, annotations.instance);
  refuseLabelsOfImage(bundle.file, annotations);
  const environment = optionsOfProcess(config.process?.env ?? [], settings.config.environment) ?? {};
  const owner = dockerOwner(config, id);
  const owned = owner && ownedInstance({ ...environment, ...annotations }, id);
  const request = mergeOptions(owned ?? {}, annotations, settings.config, id, environment);
  return request && owned ? { ...request, owner, claim: "implied" } : request;
}

/** Throws for an id in use: the runtime's own check comes too late when the other container is just being removed. */
function refuseExisting(runtime: string, id: string, given: string | undefined): void {
  // other defaults depend on environment variables; if the runtime refuses then, the next start cleans up
  const known = runtime === "runc" && geteuid() === 0 && !inUserNamespace() ? "/run/runc" : undefined;
  const root = given ?? known;
  if (root === undefined || !lstatMaybe(`${root}/${id}`)) return;
  throw new VeneerError("EXISTS", `container ${id} already exists in ${quote(root)}`, {
    hint: `'${runtime} delete ${id}' removes one that has stopped`,
  });
}

function enterNamespace(): void {
  const shares = keepsGroups();
  unshareMounts();
  if (!shares) keepMountsHere();
}

function checkRoot(target: string, config: BundleConfig, bundle: Bundle): void {
  using root = openDirectory(target);
  refuseTwoRoots(root, bundle.path, config.root.path);
  using directory = openDirectory(bundle.file.slice(0, bundle.file.lastIndexOf("/")) || "/");
  refuseRootAbove(root, directory, quote(config.root.path));
}

/** The mounts whose source is the container's own config.json: they must show the bundle's, not the rewritten one. */
function movedSources(config: BundleConfig, bundle: Bundle): number[] {
  const { ino, dev } = bundle.status;
  return (config.mounts ?? []).flatMap(({ source, options }, index) => {
    if (source === undefined || !options?.some((option) => option === "bind" || option === "rbind"))
      return [];
    const status = statQuietly(source, bundle.directory);
    return status?.ino === ino && status.dev === dev ? [index] : [];
  });
}

function statQuietly(path: string, directory: Fd): Stat | undefined {
  try {
    return statMaybe(path, directory.number);
  } catch {
    return undefined;
  }
}
