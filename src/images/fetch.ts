/** Fetches an image to a directory from which its blobs can be read. */

import { existsSync, mkdirSync, realpathSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { UsageError, VeneerError } from "../errors.ts";
import { pickForHost } from "../images/platform.ts";
import type { Progress } from "../process/progress.ts";
import { formatAmount } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import { namesIn } from "../store/versions.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import type { Image } from "./layout.ts";
import { hex, ImageDirectory, parseImage, parseIndex } from "./layout.ts";
import type { ImageSource } from "./source.ts";
import { unpackFile } from "./unpack-file.ts";

export interface RegistryOptions {
  /** false: accept plain HTTP and unverified certificates */
  readonly tlsVerify: boolean;
  /** the environment of skopeo, from {@link registryEnvironment} */
  readonly env: Readonly<Record<string, string>>;
}

export interface FetchedImage {
  readonly directory: ImageDirectory;
  readonly tag?: string | undefined;
}

/** The variables that tell skopeo about credentials, proxies, certificates and the storage of engines. */
export function registryEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const names =
    /^(HOME|XDG_(RUNTIME_DIR|CONFIG_HOME|DATA_HOME)|REGISTRY_AUTH_FILE|DOCKER_(CONFIG|CERT_PATH|HOST)|CONTAINERS_[A-Z_]+|STORAGE_[A-Z]+|SSL_CERT_(FILE|DIR)|https?_proxy|no_proxy|all_proxy)$/i;
  const chosen: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && names.test(name)) chosen[name] = value;
  }
  return chosen;
}

/**
 * Fetches an image. Reads a layout in place and unpacks an archive of one into `staging`; skopeo copies everything else
 * there, with unchanged blobs. Throws NO_IMAGE when the path does not exist.
 */
export async function fetchImage(
  source: ImageSource,
  staging: string,
  options: RegistryOptions & {
    readonly progress: Progress;
    /** aborts the work */
    readonly signal: AbortSignal;
    /** returns the digests of layers that need not be fetched */
    readonly spared: (image: Image) => readonly string[];
  },
): Promise<FetchedImage> {
  const target = `${staging}/image`;
  switch (source.transport) {
    case "oci:": {
      const { path, tag } = splitTag(source, "an OCI image layout", (at) => statSync(at).isDirectory());
      return { directory: new ImageDirectory(realpathSync(path), "layout"), tag };
    }
    case "oci-archive:": {
      const { path, tag } = splitTag(source, "an archive", (at) => statSync(at).isFile());
      options.progress.step("unpacking the archive");
      mkdirSync(target, { mode: 0o700 });
      await unpackFile(realpathSync(path), target, {
        progress: options.progress,
        note: () => {},
        squash: true,
        signal: options.signal,
      });
      return { directory: new ImageDirectory(target, "layout"), tag };
    }
    case "docker-archive:": {
      const { path, tag } = splitTag(source, "an archive", (at) => statSync(at).isFile());
      // skopeo takes text after a colon for a name, so give it a path without colons
      symlinkSync(realpathSync(path), `${staging}/archive`);
      await copyImage(`docker-archive:archive${tag === undefined ? "" : `:${tag}`}`, "dir:image", {
        ...options,
        cwd: staging,
      });
      return { directory: new ImageDirectory(target, "dir") };
    }
    case "dir:": {
      if (!existsSync(source.path))
        throw new VeneerError("NO_IMAGE", `no such directory: ${quote(source.path)}`);
      return { directory: new ImageDirectory(realpathSync(source.path), "dir") };
    }
    case "docker-daemon:":
    case "containers-storage:":
    case "podman:": {
      const from =
        source.transport === "podman:"
          ? await askPodman(source.reference, options)
          : source.transport + fullReference(source);
      await copyImage(from, "dir:image", { ...options, cwd: staging });
      return { directory: new ImageDirectory(target, "dir") };
    }
    case "docker://": {
      // skopeo does not fetch blobs that exist already: an empty file stands in for one that will not be read
      mkdirSync(`${target}/blobs/sha256`, { recursive: true });
      const { spared, bytes } = await blobsOf(source, staging, options);
      for (const digest of spared) writeFileSync(`${target}/blobs/sha256/${hex(digest)}`, "");
      await copyImage(`docker://${source.reference}`, "oci:image:1", { ...options, cwd: staging, bytes });
      return { directory: new ImageDirectory(target, "layout"), tag: "1" };
    }
  }
}

/** The reference for skopeo: for Docker, a name without tag and digest means the tag `latest`. */
function fullReference({ transport, reference }: ImageSource): string {
  const named = /[:@][^/]*$/.test(reference);
  return transport === "docker-daemon:" && !named ? `${reference}:latest` : reference;
}

/** Resolves a name, which may be short, to an image in the storage of podman. Throws NO_IMAGE. */
async function askPodman(
  name: string,
  options: RegistryOptions & { readonly progress: Progress },
): Promise<string> {
  options.progress.step("asking podman");
  const words = ["image", "inspect", "--format", "{{.Id}}", "--", name];
  const id = (await runProgram("podman", words, { env: options.env })).trim();
  if (/^[0-9a-f]{64}$/.test(id)) return `containers-storage:@${id}`;
  throw new VeneerError("NO_IMAGE", `podman gave no id of ${quote(name)}`);
}

/**
 * The digests that need not be fetched, and the size of the others; none when the registry fails, as fetching the image
 * then reports the error.
 */
async function blobsOf(
  source: ImageSource,
  cwd: string,
  options: RegistryOptions & {
    readonly progress: Progress;
    readonly spared: (image: Image) => readonly string[];
  },
): Promise<{ readonly spared: readonly string[]; readonly bytes?: number }> {
  options.progress.step("asking the registry");
  const flags = options.tlsVerify ? [] : ["--tls-verify=false"];
  const env = { ...options.env, TMPDIR: cwd };
  const inspect = (reference: string, ...more: string[]) =>
    runProgram("skopeo", ["inspect", "--raw", ...flags, ...more, "--", `docker://${reference}`], {
      cwd,
      env,
    });
  try {
    const text = await inspect(source.reference);
    const name = source.reference.replace(/@[^/]*$/, "").replace(/:[^/:]*$/, "");
    const manifest =
      "manifests" in JSON.parse(text)
        ? await inspect(`${name}@${pickForHost(parseIndex(text, "the image's index")).digest}`)
        : text;
    const config = await inspect(source.reference, "--config");
    const image = parseImage(manifest, () => config);
    const spared = options.spared(image);
    const fetched = image.layers.filter(({ digest }) => !spared.includes(digest));
    return { spared, bytes: fetched.reduce((sum, { size }) => sum + size, 0) };
  } catch (error) {
    if (error instanceof VeneerError && error.code === "INTERRUPTED") throw error;
    return { spared: [] };
  }
}

/** Splits `PATH[:TAG]`. A path may contain colons, so the longest existing path wins. Throws NO_IMAGE. */
function splitTag(source: ImageSource, what: string, isOne: (path: string) => boolean) {
  const { path: text } = source;
  const digest = /^(.+)@(sha256:[0-9a-f]{64})$/.exec(text);
  if (digest && !existsSync(text) && source.transport !== "docker-archive:") {
    const path = digest[1] as string;
    if (!existsSync(path)) throw new VeneerError("NO_IMAGE", `no such file or directory: ${quote(path)}`);
    if (!isOne(path)) throw new UsageError(`${quote(path)} is not ${what}`);
    return { path, tag: digest[2] as string };
  }
  for (let end = text.length; end > 0; end = text.lastIndexOf(":", end - 1)) {
    const path = text.slice(0, end);
    const tag = end === text.length ? undefined : text.slice(end + 1);
    if (tag?.includes("/") && source.transport !== "docker-archive:") break;
    if (!existsSync(path)) continue;
    if (!isOne(path)) throw new UsageError(`${quote(path)} is not ${what}`);
    if (tag === "") throw new UsageError(`${quote(source.reference)}: the tag is empty`);
    return { path, tag };
  }
  throw new VeneerError("NO_IMAGE", `no such file or directory: ${quote(text)}`);
}

interface CopyOptions extends RegistryOptions {
  readonly progress: Progress;
  /** the working directory, on a file system with room for temporary files */
  readonly cwd: string;
  /** of the layers that are fetched, where that is known */
  readonly bytes?: number | undefined;
}

/** Runs `skopeo copy` with unchanged blobs; paths are relative to `cwd`. */
export async function copyImage(from: string, to: string, options: CopyOptions): Promise<void> {
  const daemon = options.env.DOCKER_HOST;
  const flags = from.startsWith("docker-daemon:")
    ? daemon === undefined
      ? []
      : ["--src-daemon-host", daemon]
    : options.tlsVerify
      ? []
      : [from, to].flatMap((end, index) =>
          end.startsWith("docker://") ? [`--${index === 0 ? "src" : "dest"}-tls-verify=false`] : [],
        );
  if (to.startsWith("docker://")) options.progress.step("sending the image");
  else
    options.progress.step("fetching the image", () => {
      const fetched = sizeOf(`${options.cwd}/image`) + sizeOf(`${options.cwd}/image/blobs/sha256`);
      return { text: formatAmount(fetched), share: fetched / (options.bytes || Number.POSITIVE_INFINITY) };
    });
  const format = to.startsWith("docker://") ? [] : ["--format", "oci"];
  await runProgram("skopeo", ["copy", "--quiet", ...format, ...flags, "--", from, to], {
    cwd: options.cwd,
    // temporary files are removed with the staging directory
    env: { ...options.env, TMPDIR: options.cwd },
  });
}

/** The total size in bytes of the files in a directory; 0 when it does not exist yet. */
function sizeOf(directory: string): number {
  return namesIn(directory).reduce((sum, name) => sum + (lstatMaybe(`${directory}/${name}`)?.size ?? 0), 0);
}
