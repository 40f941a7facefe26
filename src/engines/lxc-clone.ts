/** `lxc.hook.clone`: gives the copy of a container a copy of its instance, and hooks that name this instance. */

import { VeneerError, withContext } from "../errors.ts";
import { cloneInstance, holdUnused } from "../instances/clone.ts";
import type { Settings } from "../request/config.ts";
import type { LxcEnvironment } from "../request/lxc-hook.ts";
import { setHookOptions, setValue } from "../request/lxc-text.ts";
import { readInstance } from "../store/instances.ts";
import { markCopy } from "../store/lxc-copy.ts";
import type { Store } from "../store/paths.ts";
import { mkdirs, readText, replaceFile } from "../sys/fd.ts";
import { stat } from "../sys/stat.ts";
import { checkName, displayName } from "../text/names.ts";
import { instanceName } from "./lxc-root.ts";

/**
 * Runs after lxc-copy or lxc-snapshot has written the configuration of the copy, and rewrites it: the hooks name the
 * copy and its instance, and the root is an empty directory (for a snapshot LXC had set an overlay of its own on
 * nothing). Throws when the instance is in use, which makes LXC give up the copy. The configuration of an ephemeral
 * copy is left alone, since LXC writes it again after this hook.
 */
export async function cloneForLxc(
  { store }: Settings,
  env: LxcEnvironment,
  words: readonly string[],
  instance: string | undefined,
): Promise<void> {
  const name = env.LXC_NAME ?? words[0];
  const config = env.LXC_CONFIG_FILE;
  if (!name || !config?.startsWith("/") || instance === undefined) {
    throw new VeneerError(
      "NO_INSTANCE",
      "lxc.hook.clone was called without a container, its configuration or an instance",
      {
        hint: "'veneer setup lxc NAME --persistent' writes the line",
      },
    );
  }
  const text = readText(config);
  if (text === undefined) throw new VeneerError("NO_CONTAINER", `${config} does not exist`);
  const directory = config.slice(0, config.lastIndexOf("/"));
  const copy = freeName(store, directory, name);
  using source = holdUnused(store, instance);
  await cloneInstance(store, source, copy, { step() {} });
  if (copy === name) markCopy(store, copy, config);
  withContext(`configuration of container ${displayName(name)}`, () => {
    const root = `${directory}/veneer`;
    mkdirs(root, 0o755);
    const next = setValue(text, "rootfs.path", `dir:${root}`);
    const options = { "--container": name, "--instance": copy };
    replaceFile(config, setHookOptions(next, options), { like: stat(config), sync: true });
  });
}

/** The name of the container if it is free, for a snapshot with the name of its container in front. */
function freeName(store: Store, directory: string, name: string): string {
  const owner = /\/([^/]+)\/snaps\/[^/]+$/.exec(directory)?.[1];
  const wanted = instanceName(owner === undefined ? name : `${owner}.${name}`);
  for (let number = 1; ; number++) {
    const candidate = checkName("instance", number === 1 ? wanted : `${wanted}.${number}`);
    if (!readInstance(store, candidate)) return candidate;
  }
}
