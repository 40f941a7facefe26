/** Many layers to one that shows the same, by hard links: directories are made anew, no file's data is copied. */
import { mostLayers } from "../overlay/layer-form.ts";
import { markOpaque } from "../overlay/marks.ts";
import { type MergedEntry, mergeTrees } from "../overlay/merge-trees.ts";
import type { Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import type { LayerRef } from "../store/bases.ts";
import { makeLayerDirectory, publishLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { errno } from "../sys/errno.ts";
import { type Fd, linkat, mkdirat, openDirectory } from "../sys/fd.ts";
import { openAll } from "../sys/files/open-all.ts";
import { check } from "../sys/libc.ts";
import { lstatMaybe, stat } from "../sys/stat.ts";
import { copyAttributes } from "../trees/copy-attributes.ts";
import { sealLayer } from "./seal.ts";

/**
 * Layers after which a chain is flattened: each one more makes every look-up of a missing name slower. Fewer where
 * the kernel takes few in one overlay: an instance adds layers of its own.
 */
const MOST = 100;
const OWN_LAYERS = 26;

/**
 * The layers that stand for `layers` under one more: these, or where they are too many one layer in the place
 * of all that are in the store. The caller holds the layers' lock until a manifest names the result. Durable
 * on return. A kill in between leaves what `gc` frees.
 */
export async function shortenLayers(
  store: Store,
  layers: readonly LayerRef[],
  progress: Progress,
  most = Math.min(MOST, mostLayers() - OWN_LAYERS),
): Promise<readonly LayerRef[]> {
  if (layers.length < most) return layers;
  const first = layers.findIndex((layer) => !("id" in layer));
  const end = first < 0 ? layers.length : first;
  if (end < 2) return layers;
  const ids = layers.slice(0, end).flatMap((layer) => ("id" in layer ? [layer.id] : []));
  const rest = layers.slice(end);
  progress.step(`flattening ${ids.length} layers`);
  using staging = makeStaging(store);
  const directory = `${staging.path}/layer`;
  makeLayerDirectory(directory);
  const trees = ids.map((id) => paths.layerTree(store, id));
  const bytes = await flatten(trees, `${directory}/tree`, rest.length > 0);
  const flushed = runProgram("sync", ["-f", directory]);
  try {
    const sealed = sealLayer(directory, { origin: `${ids.length} layers flattened`, bytes });
    await flushed;
    publishLayer(store, sealed);
    return [{ id: sealed.id }, ...rest];
  } finally {
    await flushed.catch(() => {});
  }
}

/**
 * Makes `target`, which is empty, show what `trees` (top first, on the same file system) show merged;
 * `onOthers` keeps whiteouts and opaque marks for layers below. Returns what it took on disk, in bytes.
 */
export async function flatten(trees: readonly string[], target: string, onOthers: boolean): Promise<number> {
  const entries = mergeTrees(trees).filter((entry) => onOthers || entry.kind !== "whiteout");
  using to = openDirectory(target);
  using open = openAll(trees);
  const copies: MergedEntry[] = [];
  for (const entry of entries) {
    if (entry.kind === "directory") mkdirat(to.number, entry.path, 0o700);
    else if (!link(open.fds[entry.layer] as Fd, to, entry.path)) copies.push(entry);
  }
  let bytes = 0;
  for (const { layer, path } of copies) {
    await runProgram("cp", [
      "-a",
      "--reflink=auto",
      "-T",
      "--",
      `${trees[layer]}/${path}`,
      `${target}/${path}`,
    ]);
    bytes += (lstatMaybe(path, to.number)?.blocks ?? 0) * 512;
  }
  // innermost first: what is made in a directory changes its time
  for (const entry of entries.reverse()) {
    if (entry.kind !== "directory") continue;
    bytes += finish(open.fds[entry.layer] as Fd, to, entry.path, onOthers && entry.opaque);
  }
  return bytes + finish(open.fds[0] as Fd, to, ".", false);
}

/** Returns false where the file system gives no further link (EMLINK: ext4 has 65000, btrfs few in a directory). */
function link(from: Fd, to: Fd, path: string): boolean {
  const result = linkat(from.number, path, to.number, path);
  if ([errno.EMLINK, errno.EXDEV, errno.EPERM].includes(-result)) return false;
  check(result, "link", path);
  return true;
}

/** Gives a directory its attributes; returns what it takes on disk itself. */
function finish(from: Fd, to: Fd, path: string, opaque: boolean): number {
  const target = `${to.path}/${path}`;
  if (opaque) markOpaque(target);
  copyAttributes(`${from.path}/${path}`, target);
  return stat(target).blocks * 512;
}
