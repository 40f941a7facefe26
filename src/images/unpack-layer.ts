/** Unpacks one layer of an image. */
import { Readable } from "node:stream";
import { VeneerError } from "../errors.ts";
import { spareGid, withoutDevices } from "../layers/owners.ts";
import { startPipe } from "../process/pipe.ts";
import { runProgram } from "../process/run-program.ts";
import { fchownat, readSome } from "../sys/fd.ts";
import { AT_FDCWD } from "../sys/flags.ts";
import { detectCompression, MAGIC_LENGTH } from "./compression.ts";
import { checkDigest, type Descriptor, type ImageDirectory } from "./layout.ts";
import { translateWhiteouts } from "./whiteouts.ts";

/**
 * GNU tar into an empty tree: `..` and absolute names stay inside, and symbolic links that lead elsewhere are
 * made last, so that nothing is written through them. ACLs come as the extended attributes that they are, as
 * the tools for images write them; overlayfs's own attributes are ours to give.
 */
const EXTRACT = [
  "-x",
  "-p",
  "--numeric-owner",
  "--delay-directory-restore",
  "--xattrs",
  "--xattrs-include=*",
  "--xattrs-exclude=trusted.overlay.*",
  "--xattrs-exclude=user.overlay.*",
  "--warning=no-timestamp",
  "--warning=no-unknown-keyword",
];

/** Bytes hashed at once before others get a turn. */
const CHUNK = 1 << 20;

/**
 * Unpacks a layer's blob to `tree`, which exists and is empty, and translates its whiteouts. The blob's digest
 * is checked first, the one of what came out of it (`diffId`) before this returns; on a failure the tree is
 * the caller's to remove. Returns the directories that have no entry of their own (translateWhiteouts).
 * `count` is told of the bytes that have been unpacked.
 */
export async function unpackLayer(
  image: ImageDirectory,
  layer: Descriptor & { readonly diffId: string },
  tree: string,
  options: { readonly squash?: boolean; readonly note: (line: string) => void },
  count: (bytes: number) => void,
): Promise<string[]> {
  const head = await checkBlob(image, layer);
  const { program } = detectCompression(head);
  // tar runs as a group that no entry has, and sets the group of every entry: a directory that has it afterwards
  // has no entry of its own in the archive, tar made it for what is in it
  const gid = options.squash ? undefined : spareGid();
  if (gid !== undefined) fchownat(AT_FDCWD, tree, 0, gid, 0);
  const hash = new Bun.CryptoHasher("sha256");
  using blob = image.openBlob(layer);
  // cat for what is not compressed: what is hashed must be what tar gets
  using pipe = startPipe(program ?? "cat", program === undefined ? [] : ["-d", "-c"], {
    stdin: blob.number,
  });
  const hashed = Readable.from(
    (async function* () {
      for await (const chunk of pipe.stdout) {
        hash.update(chunk);
        count(chunk.length);
        yield chunk;
      }
    })(),
    { objectMode: false },
  );
  try {
    const owners = options.squash ? "--no-same-owner" : "--same-owner";
    await runProgram("tar", [...EXTRACT, owners, "-C", tree, "-f", "-"], {
      ...withoutDevices(options.note),
      stdin: hashed,
      ...(gid !== undefined && { gid }),
    });
  } catch (error) {
    // where the stream ended early, who ended it knows why
    pipe.kill();
    await pipe.ended;
    throw error;
  }
  await pipe.ended;
  checkDigest(layer.diffId, hash.digest("hex"));
  return translateWhiteouts(tree, gid);
}

/** Checks a blob against its digest; returns its first bytes. */
async function checkBlob(image: ImageDirectory, layer: Descriptor): Promise<Uint8Array> {
  if (/encrypted/.test(layer.mediaType ?? "")) {
    throw new VeneerError("BAD_IMAGE", `layer ${layer.digest} is encrypted`);
  }
  using blob = image.openBlob(layer);
  const hash = new Bun.CryptoHasher("sha256");
  const buffer = new Uint8Array(CHUNK);
  let head: Uint8Array | undefined;
  for (;;) {
    const length = readSome(blob.number, buffer, layer.digest);
    head ??= buffer.slice(0, Math.min(length, MAGIC_LENGTH));
    if (length === 0) break;
    hash.update(buffer.subarray(0, length));
    await new Promise((resolve) => setImmediate(resolve));
  }
  checkDigest(layer.digest, hash.digest("hex"));
  return head;
}
