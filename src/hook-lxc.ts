/** `veneer hook lxc`: mounts the root at pre-mount, takes it down at post-stop. */
import { release } from "./apply/release.ts";
import { start } from "./apply/start.ts";
import { UsageError } from "./errors.ts";
import type { Settings } from "./input/config.ts";
import { type LxcHook, readLxcHook, refuseIdmappedRoot, rootfsDirectory } from "./input/lxc.ts";
import { mergeWishes, type Wishes } from "./input/request.ts";
import { quote } from "./quote.ts";
import { readRecord, recordKey } from "./store/records.ts";

export function hookLxc(settings: Settings, wishes: Wishes, extra: readonly string[]): void {
  const hook = readLxcHook(process.env, extra);
  switch (hook.type) {
    case "pre-mount":
      preMount(settings, wishes, hook);
      return;
    case "post-stop": {
      const record = readRecord(settings.store, key(hook));
      if (record) release(settings.store, record);
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
  const named = { ...wishes };
  if (named.persistent && named.instance === undefined) named.instance = hook.name;
  const request = mergeWishes(named, {}, settings.config);
  if (!request) throw new UsageError("veneer hook lxc names no base", "write veneer hook lxc --base NAME");
  refuseIdmappedRoot(hook);
  start(settings, request, {
    engine: "lxc",
    key: key(hook),
    container: hook.name,
    ...(hook.config !== "" && { bundle: hook.config }),
    place: { placement: "container", target: rootfsDirectory(hook) },
  });
}

function key(hook: LxcHook): string {
  return recordKey("lxc", hook.name, hook.config);
}
