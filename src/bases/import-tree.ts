/** Makes a base, or the next version of one, from a directory or a tar. */
import { realpathSync } from "node:fs";
import { duringAsync, UsageError, VeneerError } from "../errors.ts";
import { type ImportOptions, requireOwners } from "../layers/owners.ts";
import type { Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import type { BaseVersion } from "../store/bases.ts";
import { lockLayers, makeLayerDirectory, publishLayer, sealLayer } from "../store/layers.ts";
import { makeStore, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { publishVersion } from "../store/versions.ts";
import { SysError } from "../sys/errno.ts";
import { explainStore } from "../sys/explain.ts";
import { S_IFDIR, S_IFREG } from "../sys/flags.ts";
import { geteuid } from "../sys/process.ts";
import { isType, stat } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import { copyDirectory, unpackFile, unpackStream } from "./copy-tree.ts";

export type TreeSource = { readonly kind: "path"; readonly path: string } | { readonly kind: "stdin" };

/**
 * Imports a tree as one layer and publishes a version of `name` with that layer alone: whole or not at all,
 * durable on return. What was made is removed on failure and on SIGINT and SIGTERM; after a kill `gc` does it.
 */
export async function importTree(
  store: Store,
  name: string,
  source: TreeSource,
  options: ImportOptions,
): Promise<BaseVersion> {
  const text = source.kind === "stdin" ? "standard input" : source.path;
  return duringAsync(`import ${name} from ${quote(text)}`, async () => {
    if (geteuid() !== 0) {
      throw new VeneerError("NOT_ROOT", "owners, devices and capabilities can be kept by root alone", {
        hint: "run as root",
      });
    }
    requireOwners(options.squash);
    makeStore(store);
    using staging = makeStaging(store);
    const layer = `${staging.path}/layer`;
    makeLayerDirectory(layer);
    await fill(store, source, `${layer}/tree`, options);
    // awaited here: the staging directory goes when this scope ends
    return await publish(store, name, layer, `import of ${text}`, options.progress);
  });
}

async function fill(store: Store, source: TreeSource, tree: string, options: ImportOptions) {
  if (source.kind === "stdin") return unpackStream(process.stdin, tree, options);
  const type = stat(source.path);
  if (isType(type, S_IFDIR)) return copyDirectory(store, realpathSync(source.path), tree, options);
  if (isType(type, S_IFREG)) return unpackFile(source.path, tree, options);
  throw new UsageError(
    `${quote(source.path)} is neither a directory nor a tar file`,
    "give one of these, or - for a tar on standard input",
  );
}

/** One layer to one version. The data goes to disk while the listing is made. */
async function publish(store: Store, name: string, layer: string, origin: string, progress: Progress) {
  progress.step("listing and writing to disk");
  const flushed = runProgram("sync", ["-f", layer]);
  try {
    const sealed = sealLayer(layer, { origin });
    await flushed;
    using _lock = lockLayers(store);
    publishLayer(store, sealed);
    return publishVersion(store, name, { layers: [{ id: sealed.id }], origin });
  } catch (error) {
    await flushed.catch(() => {});
    throw error instanceof SysError
      ? new VeneerError("STORE", "write to the store", { cause: error, hint: explainStore(error.code) })
      : error;
  }
}

/** Takes a directory as it stands as the only layer of a version. */
export function importInPlace(store: Store, name: string, path: string): BaseVersion {
  const directory = realpathSync(path);
  if (!isType(stat(directory), S_IFDIR)) {
    throw new UsageError(`${quote(path)} is not a directory`, "only a directory can be a base in place");
  }
  makeStore(store);
  return publishVersion(store, name, { layers: [{ path: directory }], origin: `${directory} in place` });
}
