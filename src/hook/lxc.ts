/**
 * `veneer hook lxc`: mounts the root at pre-mount and releases it at post-stop. For a container with a user namespace
 * (lxc.idmap), in which pre-mount runs, pre-start mounts the root on the host and start-host unmounts it there.
 */

import { UsageError, VeneerError } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import { type LxcConfig, readLxcConfig } from "../request/lxc-config.ts";
import {
  isMountedBefore,
  type LxcEnvironment,
  type LxcHook,
  readLxcHook,
  refuseIdmappedRoot,
  refuseUserNamespace,
  rootfsDirectory,
} from "../request/lxc-hook.ts";
import {
  mergeOptions,
  optionsOfEnvironment,
  type RequestOptions,
  type RootRequest,
} from "../request/root-request.ts";
import { start } from "../start/start.ts";
import { dropCopy } from "../store/lxc-copy.ts";
import { readRecord, recordKey } from "../store/records.ts";
import { geteuid, identifyParent } from "../sys/process.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { displayName } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { refuseCopiedRoot } from "./lxc-copies.ts";
import { leaveHost, startOnHost } from "./lxc-unprivileged.ts";
import { releaseAtEnd } from "./poststop.ts";

/** Runs the stage that LXC calls. Does nothing for a container that names no base. */
export function hookLxc(
  settings: Settings,
  requested: RequestOptions,
  extra: readonly string[],
  env: LxcEnvironment,
): void {
  const hook = readLxcHook(env, extra);
  switch (hook.type) {
    case "pre-start":
      preStart(settings, requested, hook);
      return;
    case "start-host":
      leaveHost(settings.store, key(hook), env.LXC_PID);
      return;
    case "pre-mount":
      preMount(settings, requested, hook);
      return;
    case "post-stop": {
      const record = readRecord(settings.store, key(hook));
      if (record) releaseAtEnd(settings, record);
      return;
    }
    default:
      throw new UsageError(
        `veneer hook lxc does nothing at ${quote(hook.type)}`,
        "set it as lxc.hook.pre-mount and lxc.hook.post-stop; with lxc.idmap as lxc.hook.pre-start and lxc.hook.start-host too",
      );
  }
}

/** For containers with a user namespace that root starts. Those of other users get their root at pre-mount. */
function preStart(settings: Settings, requested: RequestOptions, hook: LxcHook): void {
  if (geteuid() !== 0) return;
  const config = readLxcConfig(hook.config);
  if (!config.map && config.preMount) return;
  const request = requestOf(settings, requested, hook, config);
  if (!request) return;
  refuseIdmappedRoot(hook, config);
  const target = rootfsDirectory(hook, config);
  if (requested.refuseCopies) refuseCopiedRoot(settings.store, hook.name, target, request);
  startOnHost(settings, request, hook, key(hook), { ...config, target });
}

function requestOf(
  settings: Settings,
  requested: RequestOptions,
  hook: LxcHook,
  config: LxcConfig,
): RootRequest | undefined {
  const all = { ...optionsOfEnvironment(config.environment), ...requested };
  refuseUnnamedCopy(all, hook, config);
  refuseCopy(all, hook, config);
  if (config.ephemeral && all.container !== undefined) dropCopy(settings.store, hook.name, hook.config);
  return mergeOptions(all, {}, settings.config, hook.name);
}

/** Runs in the container's mount namespace before its pivot, so mounts made here disappear with that namespace. */
function preMount(settings: Settings, requested: RequestOptions, hook: LxcHook): void {
  if (inUserNamespace() && isMountedBefore(hook)) return;
  const config = readLxcConfig(hook.config);
  const request = requestOf(settings, requested, hook, config);
  if (!request) return;
  refuseIdmappedRoot(hook, config);
  refuseUserNamespace(hook, settings.store);
  const target = rootfsDirectory(hook, config);
  if (requested.refuseCopies) refuseCopiedRoot(settings.store, hook.name, target, request);
  const process = identifyParent();
  start(settings, request, {
    engine: "lxc",
    key: key(hook),
    container: hook.name,
    ...(hook.config !== "" && { bundle: hook.config }),
    // LXC executes the hook directly, so the parent becomes the container's first process
    ...(process && { process }),
    mountAt: { kind: "directory", placement: "container", path: target },
  });
}

/** Throws for an ephemeral copy with a persistent upper that has no name: it would get the name of the original. */
function refuseUnnamedCopy(requested: RequestOptions, hook: LxcHook, config: LxcConfig): void {
  if (!config.ephemeral || !requested.persistent || requested.instance !== undefined) return;
  throw new VeneerError(
    "NO_INSTANCE",
    `container ${displayName(hook.name)} is an ephemeral copy of one with a persistent upper, which is not named`,
    { hint: "name the upper in the original's configuration with --instance ID, and stop the original" },
  );
}

/** Throws when the configuration was copied from another container: both would write to the same instance. */
function refuseCopy({ container, instance }: RequestOptions, hook: LxcHook, config: LxcConfig): void {
  if (container === undefined || container === hook.name || config.ephemeral) return;
  const name = displayName(hook.name);
  throw new VeneerError(
    "OTHER_CONTAINER",
    `the hooks of container ${name} belong to container ${displayName(container)}, whose instance is ${instance}`,
    {
      hint: `'veneer clone ${instance} NEW' copies the instance, 'veneer setup lxc ${name} --instance NEW' gives it to this container`,
    },
  );
}

function key(hook: LxcHook): string {
  return recordKey("lxc", hook.name, hook.config);
}
