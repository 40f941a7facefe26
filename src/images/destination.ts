/** Where a base is exported to, as the command line names it. */
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

/** What a registry takes for a tag; other tools look for the same after a colon. */
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

/** Throws UsageError. A relative path is taken from `directory`; `exists` asks the file system. */
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
