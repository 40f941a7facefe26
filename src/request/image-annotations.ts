/**
 * Annotations from an image: podman copies those of the manifest into config.json, where they look like those that the
 * user wrote. An image's author must not be able to choose whose files its containers get.
 */
import { VeneerError } from "../errors.ts";
import { readText } from "../sys/fd.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";

/** root.path of engines that use containers/storage: captures the storage and the container's layer. */
const ROOT = /^(\/.+)\/(?:overlay\/([0-9a-f]{64})\/merged|vfs\/dir\/([0-9a-f]{64}))$/;

const ID = /^[0-9a-f]{64}$/;

interface StoredContainer {
  readonly layer?: unknown;
  readonly image?: unknown;
}

/**
 * Throws when the manifest of the image of the container at `root` has the annotation that names this instance. Also
 * throws when the storage does not have the manifest where it should be.
 */
export function refuseInstanceOfImage(root: string, instance: string | undefined): void {
  const [, storage, overlay, vfs] = ROOT.exec(root) ?? [];
  const layer = overlay ?? vfs;
  if (instance === undefined || storage === undefined || layer === undefined) return;
  const driver = overlay === undefined ? "vfs" : "overlay";
  const image = imageOf(`${storage}/${driver}-containers`, layer);
  if (image === undefined) return;
  const file = `${storage}/${driver}-images/${image}/manifest`;
  if (annotationsOf(file)["run.veneer.instance"] !== instance) return;
  throw new VeneerError("NOT_ALLOWED", `the image names the instance ${quote(instance)}`, {
    hint: "an image must not choose whose files it gets: use one without the annotation run.veneer.instance",
  });
}

/** The file in which umoci records the image of a bundle (umoci-unpack(1)). */
const UMOCI = "umoci.json";

/**
 * Throws when umoci made the bundle and its annotations ask for anything: umoci converts an image's labels to
 * annotations (conversion.md of the OCI image specification), which then look like any other. `file` is the bundle's
 * config.json.
 */
export function refuseLabelsOfImage(file: string, asked: object): void {
  const isAsked = Object.values(asked).some((value) => value !== undefined);
  if (!isAsked || !lstatMaybe(`${file.slice(0, file.lastIndexOf("/"))}/${UMOCI}`)) return;
  throw new VeneerError(
    "NOT_ALLOWED",
    `annotations run.veneer.* in ${quote(file)} may be labels of its image`,
    {
      hint: `an image chooses no base: remove them from config.json; if they are yours, remove ${UMOCI} from the bundle instead`,
    },
  );
}

/** Containers that are removed when they end are in the second list. */
const LISTS = ["containers.json", "volatile-containers.json"];

function imageOf(directory: string, layer: string): string | undefined {
  for (const name of LISTS) {
    const file = `${directory}/${name}`;
    const list = parse(readText(file), file);
    const found = (Array.isArray(list) ? (list as StoredContainer[]) : []).find(
      (one) => one?.layer === layer,
    );
    if (typeof found?.image === "string" && ID.test(found.image)) return found.image;
  }
  return undefined;
}

function annotationsOf(file: string): Readonly<Record<string, unknown>> {
  const text = readText(file);
  if (text === undefined) {
    throw new VeneerError(
      "NOT_ALLOWED",
      `cannot tell whether the image names the instance: there is no ${quote(file)}`,
      {
        hint: "pull the image into the engine's own storage, or name the instance in the hook's arguments",
      },
    );
  }
  const manifest = parse(text, file) as { annotations?: Readonly<Record<string, unknown>> | null } | null;
  return manifest?.annotations ?? {};
}

function parse(text: string | undefined, file: string): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    throw new VeneerError("BAD_DOCUMENT", `${quote(file)} of the engine is not JSON`);
  }
}
