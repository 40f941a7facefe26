/** Parses the source of an import, as given on the command line. */
import { UsageError } from "../errors.ts";
import { quote } from "../text/quote.ts";

const TRANSPORTS = [
  "oci:",
  "oci-archive:",
  "docker-archive:",
  "docker://",
  "dir:",
  "docker-daemon:",
  "containers-storage:",
  "podman:",
] as const;

/** Transports whose reference is a name, not a path. */
const NAMES: readonly string[] = ["docker://", "docker-daemon:", "containers-storage:", "podman:"];

export type Transport = (typeof TRANSPORTS)[number];

export interface ImageSource {
  readonly kind: "image";
  readonly transport: Transport;
  /** as given */
  readonly reference: string;
  /** the reference with an absolute path; unchanged when it is not a path */
  readonly path: string;
}

export type Source =
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "stdin" }
  | ImageSource;

/** Parses a source; resolves relative paths against `directory`. Throws UsageError. */
export function parseSource(text: string, directory: string): Source {
  if (text === "-") return { kind: "stdin" };
  const image = parseImage("source", text, directory);
  if (image) return image;
  if (text === "")
    throw new UsageError("the source is empty", "name a directory, a tar file, an image, or -");
  return { kind: "path", path: absolute(text, directory) };
}

/** Parses an image reference with a transport; undefined when `text` starts with none. Throws UsageError. */
export function parseImage(what: string, text: string, directory: string): ImageSource | undefined {
  const transport = TRANSPORTS.find((prefix) => text.startsWith(prefix));
  if (transport === undefined) return undefined;
  const reference = text.slice(transport.length);
  if (!text.isWellFormed()) {
    throw new UsageError(
      `${what} ${quote(text)} is not UTF-8`,
      "skopeo and image layouts accept only UTF-8: use a link",
    );
  }
  if (reference === "") throw new UsageError(`${what} ${quote(text)} names no image`);
  const path = NAMES.includes(transport) ? reference : absolute(reference, directory);
  return { kind: "image", transport, reference, path };
}

function absolute(path: string, directory: string): string {
  return path.startsWith("/") ? path : `${directory}/${path}`;
}
