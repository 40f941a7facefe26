/** Selects the manifest of an image for this machine (image-index.md of the image specification). */
import { VeneerError } from "../errors.ts";
import { quote } from "../text/quote.ts";

export interface Descriptor {
  readonly mediaType?: string;
  readonly digest: string;
  /** bytes */
  readonly size: number;
}

export interface IndexEntry extends Descriptor {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly os?: string; readonly architecture?: string; readonly variant?: string };
}

/** Names of architectures in images, which are those of GOARCH. */
const ARCHITECTURE: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };
export const HOST_ARCHITECTURE = ARCHITECTURE[process.arch] ?? process.arch;

/** Whether a descriptor is that of an image index, by its media type. */
export function isIndex({ mediaType }: Descriptor): boolean {
  return /\.(index\.v1|list\.v2)\+json$/.test(mediaType ?? "");
}

/** Whether an entry is one that buildx adds for provenance or a package list, which runs on no platform. */
export function isAttestation({ annotations, platform }: IndexEntry): boolean {
  return (
    annotations?.["vnd.docker.reference.type"] === "attestation-manifest" ||
    (platform?.os === "unknown" && platform.architecture === "unknown")
  );
}

/**
 * Selects the entry of an image index for this machine: the least demanding variant of the architecture, the first of
 * equal ones (image-index.md of the image specification). Takes an entry without a platform only when no other one fits.
 * Throws NO_IMAGE when there is none.
 */
export function pickForHost(entries: readonly IndexEntry[]): IndexEntry {
  const usable = entries.filter(
    (entry) => !isAttestation(entry) && [undefined, "", "linux"].includes(entry.platform?.os),
  );
  const matching = usable.filter(({ platform }) => platform?.architecture === HOST_ARCHITECTURE);
  const least = matching.map(variantOf).sort()[0];
  const chosen =
    matching.find((entry) => variantOf(entry) === least) ??
    usable.find(({ platform }) => !platform?.architecture);
  if (chosen) return chosen;
  const offered = entries
    .filter((entry) => !isAttestation(entry))
    .map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  throw new VeneerError("NO_IMAGE", `the image is not for linux/${HOST_ARCHITECTURE}`, {
    hint:
      offered.length === 0
        ? "its index holds no image"
        : `it is for ${quote([...new Set(offered)].slice(0, 20).join(", "))}; a digest after an @ takes one of another platform`,
  });
}

/** The variant, "" for the default one: arm64/v8 equals arm64, and amd64/v1 equals amd64. */
function variantOf({ platform }: IndexEntry): string {
  const variant = platform?.variant ?? "";
  return (HOST_ARCHITECTURE === "arm64" && variant === "v8") || variant === "v1" ? "" : variant;
}
