/**
 * Reads images from directories: an OCI image layout (image-layout.md of the image specification), or the output of
 * skopeo's `dir:` transport. Checks every blob against its digest before using it.
 * (More than 250 lines: reading a layout, an index and a manifest belongs together.)
 */
import { VeneerError } from "../errors.ts";
import validateConfig from "../generated/image-config.js";
import validateIndex from "../generated/image-index.js";
import validateManifest from "../generated/image-manifest.js";
import {
  type Descriptor,
  HOST_ARCHITECTURE,
  type IndexEntry,
  isAttestation,
  isIndex,
  pickForHost,
} from "../images/platform.ts";
import { parseDocument } from "../store/document.ts";
import { SysError } from "../sys/errno.ts";
import { DOCUMENT_LIMIT, type Fd, openDirectory, readAll } from "../sys/fd.ts";
import { openRegular } from "../sys/files/regular.ts";
import { RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS } from "../sys/flags.ts";
import { fstat } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";

interface ImageConfig {
  readonly os: string;
  readonly architecture: string;
  readonly config?: object | null;
  readonly rootfs?: { readonly diff_ids?: readonly string[] | null } | null;
}

export interface Image {
  /** bottom layer first, as the specification has it */
  readonly layers: readonly (Descriptor & { readonly diffId: string })[];
  readonly architecture: string;
  /** the settings for its containers: Env, Entrypoint, Cmd, User, WorkingDir, … */
  readonly config: object | undefined;
}

/** A directory with the blobs of an image. */
export class ImageDirectory implements Disposable {
  readonly #directory: Fd;

  constructor(
    readonly path: string,
    readonly kind: "layout" | "dir",
  ) {
    this.#directory = openDirectory(path);
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }

  /** Opens a regular file in it; never follows a symbolic link out of it. Throws BAD_IMAGE for other types. */
  open(name: string): Fd {
    const fd = openRegular(this.#directory.number, name, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (fd) return fd;
    throw new VeneerError("BAD_IMAGE", `${quote(name)} in ${quote(this.path)} is not a file`);
  }

  /** Opens a blob and checks its size, but not its content. Throws BAD_IMAGE. */
  openBlob({ digest, size }: Descriptor): Fd {
    const name = this.kind === "dir" ? hex(digest) : `blobs/sha256/${hex(digest)}`;
    let fd: Fd;
    try {
      fd = this.open(name);
    } catch (error) {
      if (!(error instanceof SysError && error.code === "ENOENT")) throw error;
      throw new VeneerError("BAD_IMAGE", `blob ${digest} is missing`, { hint: DAMAGED });
    }
    const actual = fstat(fd.number).size;
    if (actual === size) return fd;
    fd[Symbol.dispose]();
    throw new VeneerError("BAD_IMAGE", `blob ${digest} has ${actual} bytes instead of ${size}`, {
      hint: DAMAGED,
    });
  }

  /** Reads a JSON blob, at most DOCUMENT_LIMIT bytes, and checks its digest. Throws BAD_IMAGE. */
  readJson(descriptor: Descriptor): string {
    using fd = this.openBlob(descriptor);
    const bytes = readAll(fd.number, DOCUMENT_LIMIT, descriptor.digest);
    checkDigest(descriptor.digest, new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
    return new TextDecoder().decode(bytes);
  }

  readText(name: string): string {
    using fd = this.open(name);
    return new TextDecoder().decode(readAll(fd.number, DOCUMENT_LIMIT, name));
  }
}

const DAMAGED = "the copy is incomplete or damaged: make or fetch it again";

/** Throws BAD_IMAGE when `actual` (64 hexadecimal digits) is not the digest `expected` (`sha256:…`). */
export function checkDigest(expected: string, actual: string): void {
  if (hex(expected) === actual) return;
  throw new VeneerError("BAD_IMAGE", `content of ${expected} does not match: it is sha256:${actual}`, {
    hint: DAMAGED,
  });
}

/**
 * The hexadecimal digits of a digest, as in names of blobs, so that nothing else gets into a path. Throws BAD_IMAGE.
 */
export function hex(digest: string): string {
  const found = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  if (found !== undefined) return found;
  throw new VeneerError("BAD_IMAGE", `digest ${quote(digest)} is not one of sha256`);
}

interface ImageManifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

const NO_IMAGE = "it is not a container image, or has an outdated format";

/** Reads the manifest and config of an image. `tag` selects an image of a layout; absent: its only one, or `latest`. */
export function readImage(directory: ImageDirectory, tag?: string): Image {
  const text =
    directory.kind === "dir"
      ? directory.readText("manifest.json")
      : directory.readJson(pickManifest(directory, readIndex(directory), tag));
  return parseImage(text, ({ config }) => directory.readJson(config));
}

/** Parses a manifest and its config. `readConfig` returns the text of the config that the manifest names. */
export function parseImage(text: string, readConfig: (manifest: ImageManifest) => string): Image {
  const manifest = parseDocument<ImageManifest>(text, "the image's manifest", validateManifest, NO_IMAGE);
  const config = parseDocument<ImageConfig>(
    readConfig(manifest),
    "the image's config",
    validateConfig,
    NO_IMAGE,
  );
  if (config.os !== "linux") throw new VeneerError("BAD_IMAGE", `the image is for ${quote(config.os)}`);
  const diffIds = config.rootfs?.diff_ids ?? [];
  if (diffIds.length !== manifest.layers.length) {
    throw new VeneerError(
      "BAD_IMAGE",
      `the manifest has ${manifest.layers.length} layers, the config ${diffIds.length}`,
    );
  }
  return {
    layers: manifest.layers.map((layer, index) => {
      hex(layer.digest);
      return { ...layer, diffId: diffIds[index] as string };
    }),
    architecture: config.architecture,
    config: config.config ?? undefined,
  };
}

function readIndex(directory: ImageDirectory): readonly IndexEntry[] {
  let text: string;
  try {
    text = directory.readText("index.json");
  } catch (error) {
    if (!(error instanceof SysError && error.code === "ENOENT")) throw error;
    throw new VeneerError(
      "BAD_IMAGE",
      `${quote(directory.path)} is not an OCI image layout: it has no index.json`,
    );
  }
  return parseIndex(text, "index.json");
}

export function parseIndex(text: string, name: string): readonly IndexEntry[] {
  return parseDocument<{ manifests: readonly IndexEntry[] }>(text, name, validateIndex).manifests;
}

const REF_NAME = "org.opencontainers.image.ref.name";

/** Selects a manifest. `tag`: a tag in the index, or a digest; absent: the only image of the layout, or `latest`. */
function pickManifest(directory: ImageDirectory, entries: readonly IndexEntry[], tag?: string): Descriptor {
  const tagOf = (entry: IndexEntry) => entry.annotations?.[REF_NAME];
  const named = (name: string) =>
    entries.filter((entry) => tagOf(entry) === name || tagOf(entry)?.endsWith(`:${name}`));
  const byDigest = tag !== undefined && /^sha256:[0-9a-f]{64}$/.test(tag);
  const found = byDigest
    ? [entries.find(({ digest }) => digest === tag) ?? findDeeper(directory, entries, tag)].filter(isThere)
    : tag !== undefined
      ? named(tag)
      : (oneImage(entries) ?? named("latest"));
  if (found.length > 0) return resolveIndex(directory, choose(directory, found), 0);
  const tags = [...new Set(entries.map((entry) => tagOf(entry) ?? `@${entry.digest}`))].map((text) =>
    quote(text),
  );
  throw new VeneerError(
    "NO_IMAGE",
    entries.length === 0
      ? "the layout holds no image"
      : tag === undefined
        ? "the layout holds several images"
        : `no image ${byDigest ? "has the digest" : "is tagged"} ${quote(tag)}`,
    { hint: entries.length === 0 ? undefined : `it holds ${tags.slice(0, 20).join(", ")}` },
  );
}

const isThere = (entry: IndexEntry | undefined): entry is IndexEntry => entry !== undefined;

/** The entries, when they belong to one image: a single entry, or one for each of several platforms. */
function oneImage(entries: readonly IndexEntry[]): readonly IndexEntry[] | undefined {
  const images = entries.filter((entry) => !isAttestation(entry));
  if (images.length < 2) return images.length === 0 ? entries : images;
  const tags = new Set(images.map((entry) => entry.annotations?.[REF_NAME]));
  const platforms = new Set(
    images.map(({ platform }) => platform && `${platform.os}/${platform.architecture}/${platform.variant}`),
  );
  return tags.size === 1 && platforms.size === images.length && !platforms.has(undefined)
    ? images
    : undefined;
}

/** Finds an image in an index that the index of the layout names. */
function findDeeper(
  directory: ImageDirectory,
  entries: readonly IndexEntry[],
  digest: string,
): IndexEntry | undefined {
  for (const entry of entries.filter(isIndex)) {
    const found = parseIndex(directory.readJson(entry), "the image's index").find(
      (inner) => inner.digest === digest,
    );
    if (found) return found;
  }
  return undefined;
}

/** Resolves an index of images for several platforms to the image for this machine. Throws BAD_IMAGE. */
function resolveIndex(directory: ImageDirectory, entry: IndexEntry, depth: number): Descriptor {
  if (!isIndex(entry)) return entry;
  if (depth > 3) throw new VeneerError("BAD_IMAGE", "image indexes are nested too deeply");
  const entries = parseIndex(directory.readJson(entry), "the image's index");
  return resolveIndex(directory, pickForHost(entries), depth + 1);
}

/**
 * Chooses among the entries of one image, the first of those that fit; for entries without a platform, the config has
 * it.
 */
function choose(directory: ImageDirectory, entries: readonly IndexEntry[]): IndexEntry {
  const first = entries[0] as IndexEntry;
  if (entries.length === 1) return first;
  if (entries.some(({ platform }) => platform !== undefined)) return pickForHost(entries);
  const isForHost = (entry: IndexEntry) => {
    if (isIndex(entry)) return true;
    const text = directory.readJson(entry);
    return parseImage(text, ({ config }) => directory.readJson(config)).architecture === HOST_ARCHITECTURE;
  };
  return entries.find(isForHost) ?? first;
}
