/** Imports an image from a registry only if it was not imported before. */
import { withContextAsync } from "../errors.ts";
import type { RegistryOptions } from "../images/fetch.ts";
import { importedFrom, importImage } from "../images/import.ts";
import type { ImageSource } from "../images/source.ts";
import type { ImportOptions } from "../layers/owners.ts";
import { runProgram } from "../process/run-program.ts";
import { readVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import { changeBase, listVersions, setCurrent } from "../store/versions.ts";
import { quote } from "../text/quote.ts";

/**
 * Makes the version of `name` that was imported from this image the current one, or imports the image when there is no
 * such version; `found` tells which. The image is identified by its digest: a tag is resolved at the registry first, a
 * reference with a digest needs no request. Idempotent; durable on return.
 */
export async function importOnce(
  store: Store,
  name: string,
  source: ImageSource,
  options: ImportOptions & RegistryOptions,
): Promise<{ readonly version: number; readonly found: boolean; readonly unchanged?: true }> {
  const pinned = await pin(source, options);
  for (;;) {
    const version = listVersions(store, name).findLast(
      (number) => originOf(store, name, number) === importedFrom(pinned),
    );
    if (version === undefined) return { ...(await importImage(store, name, pinned, options)), found: false };
    using lock = changeBase(store, name);
    // the base or the version was removed in the meantime
    if (!lock || !listVersions(store, name).includes(version)) continue;
    setCurrent(store, name, version);
    return { version, found: true };
  }
}

/**
 * Resolves a reference to the image it means now, by digest, and finds the newest version of `name` imported from it.
 */
export async function findImported(
  store: Store,
  name: string,
  source: ImageSource,
  options: ImportOptions & RegistryOptions,
): Promise<{ readonly pinned: ImageSource; readonly version: number | undefined }> {
  const pinned = await pin(source, options);
  const isFrom = (number: number) => originOf(store, name, number) === importedFrom(pinned);
  return { pinned, version: listVersions(store, name).findLast(isFrom) };
}

function originOf(store: Store, name: string, version: number): string | undefined {
  return readVersion(store, { name, version }).manifest.origin;
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Returns the reference with a digest and without a tag: skopeo does not accept both. */
async function pin(source: ImageSource, options: ImportOptions & RegistryOptions): Promise<ImageSource> {
  const { reference } = source;
  const at = reference.indexOf("@");
  const digest = at < 0 ? await askRegistry(source, options) : reference.slice(at + 1);
  const pinned = `${withoutTag(at < 0 ? reference : reference.slice(0, at))}@${digest}`;
  return { ...source, reference: pinned, path: pinned };
}

/** Removes the tag from `HOST:PORT/NAME:TAG`. A port is not mistaken for one, since a slash follows it. */
function withoutTag(reference: string): string {
  return reference.replace(/:[^/:]*$/, "");
}

function askRegistry(source: ImageSource, options: ImportOptions & RegistryOptions): Promise<string> {
  return withContextAsync(`look up ${quote(`docker://${source.reference}`)}`, async () => {
    options.progress.step("asking the registry");
    const flags = options.tlsVerify ? [] : ["--tls-verify=false"];
    const words = ["inspect", "--no-tags", "--format", "{{.Digest}}", ...flags, "--"];
    const text = await runProgram("skopeo", [...words, `docker://${source.reference}`], { env: options.env });
    const digest = text.trim();
    if (!DIGEST.test(digest)) throw new Error(`skopeo printed no digest: ${quote(digest)}`);
    return digest;
  });
}
