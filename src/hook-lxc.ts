/** `veneer hook lxc`: mounts the root at pre-mount, takes it down at post-stop. */
import { mergeLater, release } from "./apply/release.ts";
import { start } from "./apply/start.ts";
import { UsageError, VeneerError } from "./errors.ts";
import type { Settings } from "./input/config.ts";
import {
  type LxcHook,
  readLxcHook,
  refuseIdmappedRoot,
  refuseUserNamespace,
  rootfsDirectory,
} from "./input/lxc.ts";
import { type LxcConfig, readLxcConfig } from "./input/lxc-config.ts";
import { mergeWishes, type Wishes, wishesOfEnvironment } from "./input/request.ts";
import { displayName } from "./names.ts";
import { quote } from "./quote.ts";
import { readRecord, recordKey } from "./store/records.ts";
import { identifyParent } from "./sys/process.ts";

/** Does nothing for a container that names no base. */
export function hookLxc(settings: Settings, wishes: Wishes, extra: readonly string[]): void {
  const hook = readLxcHook(process.env, extra);
  switch (hook.type) {
    case "pre-mount":
      preMount(settings, wishes, hook);
      return;
    case "post-stop": {
      const record = readRecord(settings.store, key(hook));
      if (!record) return;
      release(settings.store, record);
      mergeLater(settings.store, record);
      return;
    }
    default:
      throw new UsageError(
        `veneer hook lxc does nothing at ${quote(hook.type)}`,
        "set it as lxc.hook.pre-mount and lxc.hook.post-stop",
      );
  }
}

/** Runs in the container's mount namespace, the host's root still in view: what is mounted goes with it. */
function preMount(settings: Settings, wishes: Wishes, hook: LxcHook): void {
  const config = readLxcConfig(hook.config);
  const all = { ...wishesOfEnvironment(config.environment), ...wishes };
  refuseUnnamedCopy(all, hook, config);
  const request = mergeWishes(all, {}, settings.config, hook.name);
  if (!request) return;
  refuseIdmappedRoot(hook, config);
  refuseUserNamespace(hook, settings.store);
  const process = identifyParent();
  start(settings, request, {
    engine: "lxc",
    key: key(hook),
    container: hook.name,
    ...(hook.config !== "" && { bundle: hook.config }),
    // LXC execs the hook: the parent is what becomes the container's first process
    ...(process && { process }),
    place: { placement: "container", target: rootfsDirectory(hook, config) },
  });
}

/** The name of the original is no name for what an ephemeral copy of it keeps. */
function refuseUnnamedCopy(wishes: Wishes, hook: LxcHook, config: LxcConfig): void {
  if (!config.ephemeral || !wishes.persistent || wishes.instance !== undefined) return;
  throw new VeneerError(
    "NO_INSTANCE",
    `container ${displayName(hook.name)} is an ephemeral copy of one with a persistent upper, which is not named`,
    { hint: "name the upper in the original's configuration with --instance ID, and stop the original" },
  );
}

function key(hook: LxcHook): string {
  return recordKey("lxc", hook.name, hook.config);
}
