/** Images made by hand: layouts of any layers, and tars that no honest tool would write. */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { execaSync } from "execa";

export interface TarEntry {
  readonly name: string;
  /** ustar type: 0 file (default), 1 hard link, 2 symbolic link, 3 character device, 5 directory, 6 fifo */
  readonly type?: string;
  readonly link?: string;
  readonly data?: string;
  readonly mode?: number;
  readonly uid?: number;
  /** seconds */
  readonly mtime?: number;
}

/** A tar with exactly these entries. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap((entry) => {
    const data = Buffer.from(entry.data ?? "");
    const header = Buffer.alloc(512);
    const octal = (value: number, at: number, length: number) =>
      header.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
    header.write(entry.name, 0, 100);
    octal(entry.mode ?? (entry.type === "5" ? 0o755 : 0o644), 100, 8);
    octal(entry.uid ?? 0, 108, 8);
    octal(0, 116, 8);
    octal(data.length, 124, 12);
    octal(entry.mtime ?? 1_300_000_000, 136, 12);
    header.write(entry.type ?? "0", 156);
    header.write(entry.link ?? "", 157, 100);
    header.write("ustar\x0000", 257, "latin1");
    octal(1, 329, 8);
    octal(3, 337, 8);
    header.fill(" ", 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return [header, data, Buffer.alloc((512 - (data.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

const sha256 = (data: Buffer) => createHash("sha256").update(data).digest("hex");

export interface ImageOptions {
  readonly compress?: "gzip" | "zstd" | "none";
  readonly config?: object;
  readonly architecture?: string;
  /** replaces diff_ids, to make a lie of them */
  readonly diffIds?: readonly string[];
}

/** Adds an image of these layers (tars, bottom first) to the layout at `dir`, made where it is not there. */
export function addImage(
  dir: string,
  tag: string,
  tars: readonly Buffer[],
  options: ImageOptions = {},
): string {
  const blobs = join(dir, "blobs/sha256");
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const blob = (data: Buffer, mediaType: string) => {
    writeFileSync(join(blobs, sha256(data)), data);
    return { mediaType, digest: `sha256:${sha256(data)}`, size: data.length };
  };
  const json = (data: object, mediaType: string) => blob(Buffer.from(JSON.stringify(data)), mediaType);
  const layers = tars.map((tar) => {
    if (options.compress === "none") return blob(tar, "application/vnd.oci.image.layer.v1.tar");
    if (options.compress === "zstd") {
      const data = execaSync("zstd", ["-c"], { input: tar, encoding: "buffer" }).stdout;
      return blob(Buffer.from(data), "application/vnd.oci.image.layer.v1.tar+zstd");
    }
    return blob(gzipSync(tar), "application/vnd.oci.image.layer.v1.tar+gzip");
  });
  const config = json(
    {
      os: "linux",
      architecture: options.architecture ?? (process.arch === "x64" ? "amd64" : process.arch),
      ...(options.config && { config: options.config }),
      rootfs: { type: "layers", diff_ids: options.diffIds ?? tars.map((tar) => `sha256:${sha256(tar)}`) },
    },
    "application/vnd.oci.image.config.v1+json",
  );
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = json({ schemaVersion: 2, mediaType, config, layers }, mediaType);
  const index = join(dir, "index.json");
  const before = existsSync(index) ? JSON.parse(readFileSync(index, "utf8")).manifests : [];
  const entry = { ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } };
  writeFileSync(index, JSON.stringify({ schemaVersion: 2, manifests: [...before, entry] }));
  return `oci:${dir}:${tag}`;
}
