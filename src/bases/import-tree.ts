/** Creates a base, or the next version of one, from a directory or a tar. */

import { UsageError, VeneerError, withContextAsync } from "../errors.ts";
import { insideOf } from "../images/pack-layer.ts";
import { refuseRecognized } from "../images/recognize.ts";
import type { TreeOptions } from "../images/unpack-file.ts";
import { unpackFile, unpackStream } from "../images/unpack-file.ts";
import type { TreeDifference } from "../layers/compare-trees.ts";
import { differenceFrom, keepDelta, markRemoved, pathsOfDelta } from "../layers/delta.ts";
import type { ImportOptions } from "../layers/owners.ts";
import { refuseForeignOwners, requireOwners } from "../layers/owners.ts";
import { currentVersion, isCurrent, isUnchanged, publishTree } from "../layers/publish-tree.ts";
import { publishVersion } from "../layers/publish-version.ts";
import type { Published } from "../layers/published.ts";
import { onInterrupt } from "../process/interrupt.ts";
import type { BaseVersion } from "../store/bases.ts";
import { lockLayers, makeLayerDirectory } from "../store/layers.ts";
import { makeStore, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { realPath } from "../sys/fd.ts";
import { S_IFDIR, S_IFREG } from "../sys/flags.ts";
import { isType, stat } from "../sys/stat.ts";
import { printablePath } from "../text/file-names.ts";
import { quote } from "../text/quote.ts";
import { overlayMarks } from "../trees/overlay-marks.ts";
import { copyDirectory, copyEntries } from "./copy-tree.ts";

export type TreeSource = { readonly kind: "path"; readonly path: string } | { readonly kind: "stdin" };

/**
 * Imports a tree and publishes it as a version of `name`: completely or not at all, durable on return. When the tree
 * differs little from the current version, the new layer holds only the difference, on top of that version's layers.
 * When nothing but times differs, no version is published, unless `always`. A failure, SIGINT or SIGTERM removes what
 * was created; after SIGKILL `gc` does.
 */
export async function importTree(
  store: Store,
  name: string,
  source: TreeSource,
  options: ImportOptions,
): Promise<Published> {
  const text = source.kind === "stdin" ? "standard input" : source.path;
  return withContextAsync(`import ${name} from ${quote(text)}`, async () => {
    requireOwners(options.squash);
    makeStore(store);
    using interrupt = onInterrupt();
    using staging = makeStaging(store);
    const layer = `${staging.path}/layer`;
    makeLayerDirectory(layer);
    const tree = `${layer}/tree`;
    const all = { ...options, signal: interrupt.signal };
    // nobody frees the layers of the version below before the manifest that names them is published
    using _layers = lockLayers(store);
    const current = options.whole ? undefined : currentVersion(store, name);
    const directory = directoryOf(source);
    let difference: TreeDifference | undefined;
    if (current && directory !== undefined && !options.squash) {
      difference = await copyDifference(store, current, directory, tree, all);
      if (!difference) await fill(store, source, directory, tree, all);
    } else {
      await fill(store, source, directory, tree, all);
      options.progress.step("comparing");
      if (current) difference = differenceFrom(store, current, tree);
      if (difference && !isUnchanged(difference, options)) keepDelta(tree, difference);
    }
    if (current && difference && isUnchanged(difference, options) && isCurrent(store, current)) {
      return { ...current, unchanged: true };
    }
    if (difference) markRemoved(tree, difference);
    const below = difference ? current : undefined;
    // await here: the staging directory is removed when this scope ends
    return await publishTree(store, name, layer, { origin: `import of ${text}`, below }, all);
  });
}

/** The directory that a source names, itself or by symbolic links; undefined for a tar. */
function directoryOf(source: TreeSource): string | undefined {
  if (source.kind === "stdin" || !isType(stat(source.path), S_IFDIR)) return undefined;
  return realPath(source.path);
}

/** Copies what differs from the current version to `tree`; leaves `tree` empty when too much differs. */
async function copyDifference(
  store: Store,
  current: BaseVersion,
  directory: string,
  tree: string,
  options: ImportOptions & TreeOptions,
): Promise<TreeDifference | undefined> {
  refuseForeignOwners(directory);
  options.progress.step("comparing");
  const prefix = directory === "/" ? "/" : `${directory}/`;
  const without = [store.root, store.run].flatMap((path) =>
    path.startsWith(prefix) ? [path.slice(prefix.length)] : [],
  );
  const difference = differenceFrom(store, current, directory, new Set(without));
  if (difference && !isUnchanged(difference, options)) {
    await copyEntries(directory, pathsOfDelta(difference), tree, options);
  }
  return difference;
}

async function fill(
  store: Store,
  source: TreeSource,
  directory: string | undefined,
  tree: string,
  options: TreeOptions,
) {
  if (source.kind === "stdin") {
    await unpackStream(process.stdin, tree, options);
    return refuseRecognized(tree, "-", true);
  }
  if (directory !== undefined) {
    refuseRecognized(directory, source.path, false);
    return copyDirectory(store, directory, tree, options);
  }
  if (isType(stat(source.path), S_IFREG)) {
    await unpackFile(source.path, tree, options);
    return refuseRecognized(tree, source.path, true);
  }
  throw new UsageError(
    `${quote(source.path)} is neither a directory nor a tar file`,
    "give one of these, or - for a tar on standard input",
  );
}

/**
 * Publishes a version whose only layer is a directory in place. Throws OVERLAY_MARKS, unless `force`, when the
 * directory has xattrs of another overlay, which containers could neither read nor remove.
 */
export function importInPlace(store: Store, name: string, path: string, force: boolean): BaseVersion {
  const directory = realPath(path) ?? path;
  if (!isType(stat(directory), S_IFDIR)) {
    throw new UsageError(`${quote(path)} is not a directory`, "only a directory can be a base in place");
  }
  if (!force) refuseMarks(store, directory);
  makeStore(store);
  return publishVersion(store, name, { layers: [{ path: directory }], origin: `${directory} in place` });
}

/** How many files with such xattrs the error message names. */
const NAMED = 3;

function refuseMarks(store: Store, directory: string): void {
  const marks = overlayMarks(directory, new Set(insideOf(store, directory)));
  if (marks.length === 0) return;
  const named = marks.slice(0, NAMED).map(printablePath).join(", ");
  throw new VeneerError(
    "OVERLAY_MARKS",
    `${quote(directory)} has ${marks.length} ${marks.length === 1 ? "entry" : "entries"} of another overlay, which containers could neither read nor remove: ${named}${marks.length > NAMED ? ", …" : ""}`,
    {
      hint: "import it without --in-place, which leaves such marks out, or with --force, and give --opaque DIR for the directory that they are in",
    },
  );
}
