/** Parses the destination of an export, as given on the command line. */
import { UsageError } from "../errors.ts";
import { quote } from "../text/quote.ts";
import { type ImageSource, parseImage } from "./source.ts";

export type TarCompression = "plain" | "gzip" | "xz" | "zstd";

export type Destination =
  | { readonly kind: "tar"; readonly path: string; readonly compression: TarCompression }
  | { readonly kind: "stdout" }
  | { readonly kind: "oci:" | "oci-archive:"; readonly path: string; readonly tag: string }
  | { readonly kind: "docker://"; readonly reference: string };

const SUFFIXES: readonly (readonly [suffix: RegExp, compression: TarCompression])[] = [
  [/\.tar$/, "plain"],
  [/\.(tar\.gz|tgz)$/, "gzip"],
  [/\.(tar\.xz|txz)$/, "xz"],
  [/\.(tar\.zst|tzst)$/, "zstd"],
];

/** The tags that registries accept; other tools look for the same form after a colon. */
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** Parses a destination. Resolves relative paths against `directory`; `exists` tests for a path. Throws UsageError. */
export function parseDestination(
  text: string,
  directory: string,
  exists: (path: string) => boolean,
): Destination {
  if (text === "-") return { kind: "stdout" };
  const image = parseImage("destination", text, directory);
  if (image && !["oci:", "oci-archive:", "docker://"].includes(image.transport)) {
    throw new UsageError(
      `${image.transport} is not written`,
      `export to oci-archive:FILE; 'skopeo copy' brings that to ${image.transport === "podman:" ? "containers-storage:" : image.transport}`,
    );
  }
  if (image?.transport === "docker://") return { kind: "docker://", reference: image.reference };
  if (image) return splitTag(image, exists);
  const found = SUFFIXES.find(([suffix]) => suffix.test(text));
  if (!found) {
    throw new UsageError(
      `destination ${quote(text)} names no format`,
      "FILE.tar, FILE.tar.gz, FILE.tar.xz, FILE.tar.zst, -, oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker://REF",
    );
  }
  return {
    kind: "tar",
    path: text.startsWith("/") ? text : `${directory}/${text}`,
    compression: found[1],
  };
}

function splitTag(image: ImageSource, exists: (path: string) => boolean): Destination {
  const kind = image.transport as "oci:" | "oci-archive:";
  const colon = image.path.lastIndexOf(":");
  const tag = image.path.slice(colon + 1);
  if (colon < 0 || !TAG.test(tag) || exists(image.path)) return { kind, path: image.path, tag: "latest" };
  return { kind, path: image.path.slice(0, colon), tag };
}
