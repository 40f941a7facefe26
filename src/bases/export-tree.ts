/** Writes the merged tree of a version as a tar. */
import { pipeline } from "node:stream/promises";
import type { Destination, TarCompression } from "../images/destination.ts";
import { pathForOthers } from "../images/list-layer.ts";
import { insideOf } from "../images/pack-layer.ts";
import { mountOverlay } from "../overlay/mount.ts";
import { startPipe } from "../process/pipe.ts";
import { formatAmount, type Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import type { BaseVersion } from "../store/bases.ts";
import { openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { type Fd, openDirectory, rename, syncDirectory, uniqueSuffix, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD } from "../sys/flags.ts";
import { cloneTree } from "../sys/mount.ts";
import { lstatMaybe } from "../sys/stat.ts";

/** What `base import` reads back: all that makes up a tree. */
const CREATE = [
  "-c",
  "--format=pax",
  "-S",
  "--sparse-version=0.0",
  "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
  "--sort=name",
  "--numeric-owner",
  "--xattrs",
  "--xattrs-include=*",
  "--xattrs-exclude=security.selinux",
  "--acls",
  "--warning=no-file-changed",
  "--warning=no-file-ignored",
  "--force-local",
  "--anchored",
  "--no-wildcards",
];

const COMPRESS: Readonly<Record<TarCompression, readonly string[]>> = {
  plain: [],
  gzip: ["-I", "gzip -n"],
  xz: ["-I", "xz -T2"],
  zstd: ["-I", "zstd -q -T2"],
};

/** Writes a file, whole or not at all, durable on return; or to standard output. */
export async function exportTree(
  store: Store,
  base: BaseVersion,
  destination: Destination & { readonly kind: "tar" | "stdout" },
  progress: Progress,
): Promise<void> {
  using staging = makeStaging(store);
  using mounted = mountVersion(store, base, staging.path);
  const inPlace = base.manifest.layers.flatMap((layer) => ("path" in layer ? [layer.path] : []));
  const without = inPlace.flatMap((path) => insideOf(store, path)).map((path) => `--exclude=./${path}`);
  const accept = inPlace.length > 0 ? [0, 1] : [0];
  const args = [...CREATE, ...without, "-C", pathForOthers(mounted)];
  if (destination.kind === "stdout") {
    using tar = startPipe("tar", [...args, "-f", "-", "."], { accept });
    await pipeline(tar.stdout, process.stdout, { end: false });
    await tar.ended;
    return;
  }
  const part = `${destination.path}.${uniqueSuffix()}.part`;
  progress.step("writing", () => formatAmount(lstatMaybe(part)?.size ?? 0));
  try {
    await runProgram("tar", [...args, ...COMPRESS[destination.compression], "-f", part, "."], { accept });
    await runProgram("sync", ["--", part]);
    rename(part, destination.path);
  } finally {
    unlinkQuietly(part);
  }
  syncDirectory(destination.path.slice(0, destination.path.lastIndexOf("/")) || "/");
}

/**
 * The merged tree as a detached mount, which nobody else sees. Overlayfs wants two layers: one is empty. A
 * directory in place alone needs none, and may have the store below it, where overlayfs would refuse it.
 */
function mountVersion(store: Store, base: BaseVersion, empty: string): Fd {
  const [top, ...others] = base.manifest.layers;
  if (top && "path" in top && others.length === 0) return cloneTree(AT_FDCWD, top.path, false);
  using layers = openLayers(store, base);
  using nothing = openDirectory(empty);
  return mountOverlay({ layers: [...layers.fds, nothing], source: "veneer-export", volatile: false });
}
