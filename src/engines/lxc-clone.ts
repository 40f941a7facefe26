/** `lxc.hook.clone`: a copy of a container gets a copy of its instance, and hooks that name it. */

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
 * Runs when lxc-copy or lxc-snapshot has made the copy's configuration, which is rewritten: its hooks name the copy and
 * its instance, its root is an empty directory (of a snapshot LXC made it an overlay of its own on nothing). Throws
 * where the instance is in use: then there is no copy. An ephemeral copy keeps the original's configuration, since LXC
 * writes it once more after this hook.
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

/** The container's own name where it is free; a snapshot's has that of its container in front. */
function freeName(store: Store, directory: string, name: string): string {
  const owner = /\/([^/]+)\/snaps\/[^/]+$/.exec(directory)?.[1];
  const wanted = instanceName(owner === undefined ? name : `${owner}.${name}`);
  for (let number = 1; ; number++) {
    const candidate = checkName("instance", number === 1 ? wanted : `${wanted}.${number}`);
    if (!readInstance(store, candidate)) return candidate;
  }
}
