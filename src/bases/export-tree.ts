/** Writes the merged tree of a base version as a tar archive. */
import { createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Destination, TarCompression } from "../images/destination.ts";
import { insideOf } from "../images/pack-layer.ts";
import { mountOverlay } from "../overlay/mount.ts";
import { throwIfInterrupted } from "../process/interrupt.ts";
import { type Pipe, startPipe, together } from "../process/pipe.ts";
import { formatAmount, type Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import type { BaseVersion } from "../store/bases.ts";
import { openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import {
  type Fd,
  openat,
  openDirectory,
  rename,
  syncDirectory,
  uniqueSuffix,
  unlinkQuietly,
} from "../sys/fd.ts";
import { AT_FDCWD, O_CREAT, O_EXCL, O_WRONLY } from "../sys/flags.ts";
import { cloneTree } from "../sys/mount.ts";
import { packTree } from "../trees/pack-tree.ts";

const COMPRESS: Readonly<Record<TarCompression, readonly string[]>> = {
  plain: [],
  gzip: ["gzip", "-n", "-c"],
  xz: ["xz", "-T2", "-c"],
  zstd: ["zstd", "-q", "-T2", "-c"],
};

/**
 * Writes the archive to standard output or to a file, which appears complete or not at all and is durable on return.
 * ACLs are written twice: as GNU tar does with --acls and, for Docker and podman, as xattrs. Returns the number of
 * sockets, which are left out because tar cannot store them. Throws INTERRUPTED when `signal` is aborted.
 */
export async function exportTree(
  store: Store,
  base: BaseVersion,
  destination: Destination & { readonly kind: "tar" | "stdout" },
  progress: Progress,
  signal: AbortSignal,
): Promise<number> {
  using staging = makeStaging(store);
  using mounted = mountVersion(store, base, staging.path);
  const inPlace = base.manifest.layers.flatMap((layer) => ("path" in layer ? [layer.path] : []));
  const told = { sockets: 0 };
  let bytes = 0;
  progress.step("writing", () => formatAmount(bytes));
  const packed = packTree(mounted, told, {
    aclTexts: true,
    without: new Set(inPlace.flatMap((path) => insideOf(store, path))),
    isLiving: inPlace.length > 0,
  });
  const seen = (async function* () {
    for await (const piece of packed) {
      throwIfInterrupted(signal);
      bytes += piece.length;
      yield piece;
    }
  })();
  if (destination.kind === "stdout") {
    await pipeline(seen, process.stdout, { end: false });
    return told.sockets;
  }
  const part = `${destination.path}.${uniqueSuffix()}.part`;
  try {
    using opened = openat(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL, 0o666);
    const file = createWriteStream("", { fd: opened.number, autoClose: false });
    const [compressor, ...flags] = COMPRESS[destination.compression];
    if (compressor === undefined) await pipeline(seen, file);
    else {
      using compress = startPipe(compressor, flags, { stdin: "pipe" });
      const feed = pipeline(seen, compress.stdin as NonNullable<Pipe["stdin"]>);
      await together([compress], [feed, pipeline(compress.stdout, file)]);
    }
    await runProgram("sync", ["--", part]);
    throwIfInterrupted(signal);
    rename(part, destination.path);
  } finally {
    unlinkQuietly(part);
  }
  syncDirectory(destination.path.slice(0, destination.path.lastIndexOf("/")) || "/");
  return told.sockets;
}

/**
 * Mounts the merged tree as a detached mount, invisible to others. Overlayfs requires two layers, hence the `empty`
 * one. A single directory in place is cloned instead: it may contain the store, and overlayfs refuses a layer that
 * does.
 */
function mountVersion(store: Store, base: BaseVersion, empty: string): Fd {
  const [top, ...others] = base.manifest.layers;
  using layers = openLayers(store, base);
  if (top && "path" in top && others.length === 0) return cloneTree((layers.fds[0] as Fd).number, "", false);
  using nothing = openDirectory(empty);
  return mountOverlay({ layers: [...layers.fds, nothing], source: "veneer-export", volatile: false });
}
