/** Imports an image from a registry only if it was not imported before. */
import { withContextAsync } from "../errors.ts";
import type { RegistryOptions } from "../images/fetch.ts";
import { importedFrom, importImage } from "../images/import.ts";
import type { ImageSource } from "../images/source.ts";
import type { ImportOptions } from "../layers/owners.ts";
import { runProgram } from "../process/run-program.ts";
import { readVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import {
  changeBase,
  failureOf,
  listVersions,
  noteSeen,
  readBaseFile,
  setCurrent,
} from "../store/versions.ts";
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
    const version = importedVersion(store, name, pinned) ?? seenGood(store, name, pinned, options);
    if (version === undefined) {
      const made = await importImage(store, name, pinned, options);
      if (made.unchanged) noteSeen(store, name, importedFrom(pinned), made.version);
      return { ...made, found: false };
    }
    using lock = changeBase(store, name);
    // the base or the version was removed in the meantime
    if (!lock || !listVersions(store, name).includes(version)) continue;
    setCurrent(store, name, version);
    return { version, found: true };
  }
}

/**
 * Resolves a reference to the image it means now, by digest, and finds the version of `name` that shows it. Only the
 * digest is asked for.
 */
export async function findImported(
  store: Store,
  name: string,
  source: ImageSource,
  options: ImportOptions & RegistryOptions,
): Promise<{ readonly pinned: ImageSource; readonly version: number | undefined }> {
  const pinned = await pin(source, options);
  const version = importedVersion(store, name, pinned) ?? seenVersion(store, name, pinned);
  return { pinned, version };
}

function importedVersion(store: Store, name: string, pinned: ImageSource): number | undefined {
  const isFrom = (number: number) => originOf(store, name, number) === importedFrom(pinned);
  return listVersions(store, name).findLast(isFrom);
}

/** The version whose tree the image was found to have, so that none was made of it. */
function seenVersion(store: Store, name: string, pinned: ImageSource): number | undefined {
  const { seen } = readBaseFile(store, name) ?? {};
  if (seen?.origin !== importedFrom(pinned)) return undefined;
  return listVersions(store, name).find((number) => number === seen.version);
}

function seenGood(store: Store, name: string, pinned: ImageSource, { always }: ImportOptions) {
  const version = always ? undefined : seenVersion(store, name, pinned);
  return version === undefined || failureOf(store, name, version) ? undefined : version;
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
