/** Fills a layer's tree from a directory or a tar. */
import type { TreeOptions } from "../images/unpack-file.ts";
import { refuseForeignOwners } from "../layers/owners.ts";
import { formatAmount } from "../process/progress.ts";
import type { Store } from "../store/paths.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { quote } from "../text/quote.ts";
import { copyTree } from "../trees/copy-tree.ts";
import { Omissions } from "../trees/omissions.ts";

/**
 * Copies a directory, without other file systems mounted in it, to the existing, empty directory `tree`; with reflinks
 * where the file system supports them. Leaves out a store inside the directory.
 */
export async function copyDirectory(
  store: Store,
  source: string,
  tree: string,
  options: TreeOptions,
): Promise<void> {
  const { progress, note, squash } = options;
  if (!squash) refuseForeignOwners(source);
  const prefix = source === "/" ? "/" : `${source}/`;
  const mounts = parseMountinfo(readMountinfo("self") ?? "")
    .map((mount) => mount.target)
    .filter((target) => target.startsWith(prefix) && target !== source);
  for (const path of new Set(source === "/" ? [] : mounts)) {
    note(`veneer: ${quote(path)} is a mount point: what is below it is left out`);
  }
  const inside = [store.root, store.run].filter((path) => path.startsWith(prefix));
  const omissions = new Omissions();
  let bytes = 0;
  progress.step("copying", () => formatAmount(bytes));
  await copyTree(source, tree, {
    squash: squash ?? false,
    omissions,
    signal: options.signal,
    without: new Set(inside.map((path) => path.slice(prefix.length))),
    count(length) {
      bytes += length;
    },
  });
  omissions.report(note);
}

/**
 * Copies only the entries at `paths` (relative to `source`, each directory before its contents) to the existing, empty
 * directory `tree`. Leaves out entries that disappear in the meantime.
 */
export async function copyEntries(
  source: string,
  paths: readonly string[],
  tree: string,
  options: TreeOptions,
): Promise<void> {
  const omissions = new Omissions();
  const { squash = false, signal } = options;
  await copyTree(source, tree, { squash, omissions, signal, only: new Set(paths) });
  omissions.report(options.note);
}
