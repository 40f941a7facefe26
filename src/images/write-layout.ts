/** Writes an OCI image layout (image-layout.md of the image specification). */
import { writeFileSync } from "node:fs";
import type { Manifest } from "../store/bases.ts";
import { readText, replaceFile } from "../sys/fd.ts";
import type { ExportedLayer } from "./pack-layer.ts";
import { HOST_ARCHITECTURE } from "./platform.ts";

const TYPE = "application/vnd.oci.image";

export interface ImageDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/**
 * Writes the config and manifest of an image into the blobs of a layout, bottom layer first. The same version of a base
 * gives the same digests. Not durable yet.
 */
export function writeImage(
  blobs: string,
  manifest: Manifest,
  layers: readonly (ExportedLayer & { readonly created: string })[],
): ImageDescriptor {
  const config = writeBlob(blobs, `${TYPE}.config.v1+json`, {
    created: manifest.created,
    architecture: HOST_ARCHITECTURE,
    os: "linux",
    config: manifest.config ?? {},
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ created }) => ({ created, created_by: "veneer base export" })),
  });
  return writeBlob(blobs, `${TYPE}.manifest.v1+json`, {
    schemaVersion: 2,
    mediaType: `${TYPE}.manifest.v1+json`,
    config,
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  });
}

function writeBlob(blobs: string, mediaType: string, data: object): ImageDescriptor {
  const bytes = new TextEncoder().encode(JSON.stringify(data));
  const hex = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  writeFileSync(`${blobs}/${hex}`, bytes, { mode: 0o644 });
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

/**
 * Adds an image to the index of a layout, in place of one with the same tag; keeps other images. Atomic. The caller
 * excludes concurrent changes.
 */
export function tagImage(layout: string, image: ImageDescriptor, tag: string, sync = false): void {
  const name = "org.opencontainers.image.ref.name";
  const text = readText(`${layout}/index.json`);
  const index = text === undefined ? { schemaVersion: 2 } : JSON.parse(text);
  const others = (index.manifests ?? []).filter(
    (entry: { annotations?: Record<string, string> }) => entry.annotations?.[name] !== tag,
  );
  const entry = { ...image, annotations: { [name]: tag } };
  const changed = { ...index, manifests: [...others, entry] };
  replaceFile(`${layout}/index.json`, JSON.stringify(changed), { mode: 0o644, sync });
}

/** Writes the file `oci-layout`, which marks a directory as a layout. Not durable yet. */
export function writeLayoutFile(layout: string): void {
  writeFileSync(`${layout}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}', { mode: 0o644 });
}
