/** Exports a version as an image: each of its layers becomes a layer of the image. */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { VeneerError } from "../errors.ts";
import { throwIfInterrupted } from "../process/interrupt.ts";
import { inParallel } from "../process/parallel.ts";
import { formatAmount, type Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import type { BaseVersion } from "../store/bases.ts";
import { readLayer } from "../store/layers.ts";
import type { Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { type Fd, flock, openat, rename, syncDirectory, uniqueSuffix, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_RDONLY, RENAME_NOREPLACE } from "../sys/flags.ts";
import { sleep } from "../sys/self.ts";
import { list } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import type { Destination } from "./destination.ts";
import { copyImage, type RegistryOptions } from "./fetch.ts";
import { type ExportedLayer, exportLayer, type LayerCompression, openLayer } from "./pack-layer.ts";
import { type ImageDescriptor, tagImage, writeImage, writeLayoutFile } from "./write-layout.ts";

/** Layers packed at the same time: compression keeps a processor busy. */
const AT_ONCE = 2;

export interface ExportOptions extends RegistryOptions {
  readonly compression: LayerCompression;
  readonly progress: Progress;
  readonly note: (line: string) => void;
}

export type ImageDestination = Exclude<Destination, { readonly kind: "tar" | "stdout" }>;

/**
 * Exports a version and returns the digest of the manifest of the image. The image appears complete or not at all; in a
 * file or directory it is durable on return. Throws BAD_IMAGE when the destination exists and is no layout.
 */
export async function exportImage(
  store: Store,
  base: BaseVersion,
  destination: ImageDestination,
  options: ExportOptions,
  interrupted: AbortSignal,
): Promise<string> {
  const all = { ...options, signal: interrupted };
  using staging = makeStaging(store);
  switch (destination.kind) {
    case "oci:": {
      // on the file system of the destination: in the layout, or next to where it will be
      const exists = existsSync(destination.path);
      if (exists) checkLayout(destination.path);
      const suffix = uniqueSuffix();
      const made = exists ? `${destination.path}/.${suffix}.part` : `${destination.path}.${suffix}.part`;
      try {
        const image = await makeLayout(store, base, made, destination.tag, all);
        await runProgram("sync", ["-f", "--", made]);
        throwIfInterrupted(interrupted);
        if (exists) addToLayout(made, destination.path, image, destination.tag);
        else {
          rename(made, destination.path, RENAME_NOREPLACE);
          syncDirectory(parentOf(destination.path));
        }
        return image.digest;
      } finally {
        rmSync(made, { recursive: true, force: true });
      }
    }
    case "oci-archive:": {
      const layout = `${staging.path}/image`;
      const image = await makeLayout(store, base, layout, destination.tag, all);
      throwIfInterrupted(interrupted);
      await writeArchive(layout, destination.path, options.progress);
      return image.digest;
    }
    case "docker://": {
      const image = await makeLayout(store, base, `${staging.path}/image`, "latest", all);
      throwIfInterrupted(interrupted);
      await copyImage("oci:image:latest", `docker://${destination.reference}`, {
        ...options,
        cwd: staging.path,
      });
      return image.digest;
    }
  }
}

/** Writes a layout with this one image to `path`. */
async function makeLayout(
  store: Store,
  base: BaseVersion,
  path: string,
  tag: string,
  options: ExportOptions & { readonly signal: AbortSignal },
): Promise<ImageDescriptor> {
  const blobs = `${path}/blobs/sha256`;
  mkdirSync(path);
  mkdirSync(blobs, { recursive: true });
  // images list the bottom layer first
  const layers = [...base.manifest.layers].reverse();
  const exported: (ExportedLayer & { created: string })[] = [];
  let bytes = 0;
  let done = 0;
  options.progress.step("packing", () => `${done}/${layers.length} layers, ${formatAmount(bytes)}`);
  await inParallel(AT_ONCE, [...layers.keys()], async (index) => {
    const layer = layers[index] as (typeof layers)[number];
    using tree = openLayer(store, layer);
    const result = await exportLayer(
      tree,
      blobs,
      options.compression,
      (length) => {
        bytes += length;
      },
      options.signal,
    );
    const created =
      ("id" in layer ? readLayer(store, layer.id)?.created : undefined) ?? base.manifest.created;
    exported[index] = { ...result, created };
    done++;
  });
  const sockets = exported.reduce((total, layer) => total + layer.sockets, 0);
  if (sockets > 0) options.note(`veneer: ${sockets} sockets are left out: a tar cannot hold them`);
  const image = writeImage(blobs, base.manifest, exported);
  writeLayoutFile(path);
  tagImage(path, image, tag);
  return image;
}

function checkLayout(path: string): void {
  if (existsSync(`${path}/oci-layout`) || list(path).length === 0) return;
  throw new VeneerError("BAD_IMAGE", `${quote(path)} exists and is not an OCI image layout`, {
    hint: "name a directory that does not exist yet",
  });
}

/** Adds the blobs first, then the index entry: a kill in between leaves only unreferenced blobs. */
function addToLayout(made: string, layout: string, image: ImageDescriptor, tag: string): void {
  using lock = openat(AT_FDCWD, layout, O_RDONLY | O_DIRECTORY);
  lockLayout(lock, layout);
  const blobs = `${layout}/blobs/sha256`;
  mkdirSync(blobs, { recursive: true });
  for (const name of list(`${made}/blobs/sha256`))
    renameSync(`${made}/blobs/sha256/${name}`, `${blobs}/${name}`);
  if (!existsSync(`${layout}/oci-layout`)) writeLayoutFile(layout);
  syncDirectory(blobs);
  tagImage(layout, image, tag, true);
}

/** Milliseconds; work under this lock is short. */
const LOCK_WAIT = 5000;

/** Locks a layout, with a time limit: every process that can read the layout could hold the lock forever. */
function lockLayout(fd: Fd, layout: string): void {
  for (const end = Date.now() + LOCK_WAIT; !flock(fd.number, LOCK_EX | LOCK_NB, layout); sleep(20)) {
    if (Date.now() < end) continue;
    throw new VeneerError("BUSY", `another process holds a lock on ${quote(layout)}`, {
      hint: `'fuser -v ${layout}' shows which`,
    });
  }
}

async function writeArchive(layout: string, path: string, progress: Progress): Promise<void> {
  const part = `${path}.${uniqueSuffix()}.part`;
  progress.step("writing the archive");
  const same = ["--sort=name", "--numeric-owner", "--owner=0", "--group=0", "--mtime=@0", "--force-local"];
  try {
    await runProgram("tar", ["-c", ...same, "-C", layout, "-f", part, "oci-layout", "index.json", "blobs"]);
    await runProgram("sync", ["--", part]);
    rename(part, path);
  } finally {
    unlinkQuietly(part);
  }
  syncDirectory(parentOf(path));
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}
