/** Flattens layers into one that shows the same, with new directories and hard links instead of copied files. */
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
 * The number of layers above which a chain is flattened, because each layer slows down look-ups of missing names. On
 * kernels with a low limit it is lower, to leave room for the layers of an instance.
 */
const MOST = 100;
const OWN_LAYERS = 26;

/**
 * Returns the layers to use below one more: `layers` themselves or, when they are too many, with one flattened layer in
 * place of all those in the store. The caller holds the lock of the layers until a manifest names the result. Durable
 * on return; `gc` removes what a kill leaves behind.
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
 * Fills the empty directory `target` with the merged contents of `trees` (top first, on the same file system).
 * `onOthers` keeps whiteouts and opaque marks, which layers below need. Returns the disk space used, in bytes.
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
  // innermost first, because creating entries changes the time of their directory
  for (const entry of entries.reverse()) {
    if (entry.kind !== "directory") continue;
    bytes += finish(open.fds[entry.layer] as Fd, to, entry.path, onOthers && entry.opaque);
  }
  return bytes + finish(open.fds[0] as Fd, to, ".", false);
}

/** Creates a hard link; returns false when it cannot (EMLINK: ext4 allows 65000, btrfs few in one directory). */
function link(from: Fd, to: Fd, path: string): boolean {
  const result = linkat(from.number, path, to.number, path);
  if ([errno.EMLINK, errno.EXDEV, errno.EPERM].includes(-result)) return false;
  check(result, "link", path);
  return true;
}

/** Sets the attributes of a directory; returns the disk space of the directory itself, in bytes. */
function finish(from: Fd, to: Fd, path: string, opaque: boolean): number {
  const target = `${to.path}/${path}`;
  if (opaque) markOpaque(target);
  copyAttributes(`${from.path}/${path}`, target);
  return stat(target).blocks * 512;
}
