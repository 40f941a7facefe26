/** The mount(8) command that mounts an instance, for the scripts of administrators. */
import { layerPaths, readVersion } from "../store/bases.ts";
import { partDirectories, partUppers } from "../store/frozen-uppers.ts";
import { checkInstanceDigest, refuseTmpfs, requireInstance } from "../store/instances.ts";
import { paths, type Store } from "../store/paths.ts";
import { shellWord } from "../text/shell-word.ts";

/** Escapes a path for the options of overlayfs: colons (overlayfs.rst), commas (mount(8)) and backslashes. */
const escapeOption = (path: string) => path.replace(/[\\:,]/g, "\\$&");

/**
 * Returns the command and mounts nothing. Does not check whether the instance is in use: the script has to make sure of
 * that, because two overlays on one upper are undefined behaviour. Throws when the upper is in memory.
 */
export function mountCommand(store: Store, id: string, directory: string): string {
  const instance = requireInstance(store, id);
  refuseTmpfs(id, instance, "print a mount of");
  const base = readVersion(store, { name: instance.base, version: instance.version });
  checkInstanceDigest(id, instance, base);
  const generation = paths.generation(store, id, instance.generation);
  const [upper = "", ...frozen] = partUppers(generation, instance);
  const [part = ""] = partDirectories(generation, instance);
  const lowers = [...frozen, ...layerPaths(store, base.manifest)].map(escapeOption).join(":");
  const options = [
    `lowerdir=${lowers}`,
    `upperdir=${escapeOption(upper)}`,
    `workdir=${escapeOption(`${part}/work`)}`,
    "index=off,redirect_dir=off,metacopy=off",
  ];
  return `mount -t overlay -o ${shellWord(options.join(","))} veneer ${shellWord(directory)}`;
}
