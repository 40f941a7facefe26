/** Makes the candidate of a round from the source that the policy names. */
import { findImported } from "../bases/import-once.ts";
import { registryEnvironment } from "../images/fetch.ts";
import { importedFrom } from "../images/import.ts";
import { parseSource } from "../images/source.ts";
import type { CommandSource, PolicySource } from "../inventory/policy.ts";
import { publishVersion } from "../layers/publish-version.ts";
import { readVersion } from "../store/bases.ts";
import { lockLayers } from "../store/layers.ts";
import { failureOf, listVersions, noteSeen, readBaseFile } from "../store/versions.ts";
import { type Ended, expectDone, lastJson, runVerb } from "./own-program.ts";
import type { Round } from "./round.ts";

interface Made {
  readonly version: number;
  readonly published: boolean;
}

/**
 * The version that was made, or one that failed before and that the source gives again; undefined where it gives
 * nothing new.
 */
export async function makeCandidate(round: Round): Promise<number | undefined> {
  const { source } = round.policy;
  const made = await make(round, source);
  if (!made) return undefined;
  return made.published || failureOf(round.store, round.name, made.version) ? made.version : undefined;
}

async function make(round: Round, source: PolicySource): Promise<Made | undefined> {
  const { name, own } = round;
  if ("image" in source) {
    const flags = source.tlsVerify === false ? ["--tls-verify=false"] : [];
    const { image, origin, version } = await pinned(round, source.image, source.tlsVerify ?? true);
    if (version !== undefined && !round.retry) return { version, published: false };
    const words = ["base", "import", name, image, "--candidate", "--json", ...flags];
    const made = lastJson<Made>(`import ${source.image}`, await runVerb(own, words));
    if (!made.published && origin !== undefined) noteSeen(round.store, name, origin, made.version);
    return made;
  }
  if ("directory" in source) {
    const words = ["base", "import", name, source.directory, "--candidate", "--json"];
    return lastJson(`import ${source.directory}`, await runVerb(own, words));
  }
  if (source.base !== undefined) return stack(round, source, source.base);
  return lastJson("command", await edit(round, name, source));
}

function edit(
  { own }: Round,
  name: string,
  { command, env, volumes, discard }: CommandSource,
): Promise<Ended> {
  const options = [
    ...(env ?? []).flatMap((one) => ["-e", one]),
    ...(volumes ?? []).flatMap((one) => ["-v", one]),
    ...(discard ?? []).flatMap((one) => ["--discard", one]),
  ];
  return runVerb(own, ["base", "edit", name, "--candidate", "--json", ...options, "--", "sh", "-c", command]);
}

/**
 * What to import; for an image of a registry its origin, and the version that came from it before: the current one, or
 * one that failed.
 */
async function pinned(
  round: Round,
  image: string,
  tlsVerify: boolean,
): Promise<{ readonly image: string; readonly origin?: string; readonly version?: number | undefined }> {
  const { store, name, own, progress } = round;
  const source = parseSource(image, "/");
  if (source.kind !== "image" || source.transport !== "docker://") return { image };
  const options = { progress, note() {}, tlsVerify, env: registryEnvironment(own.env) };
  const found = await findImported(store, name, source, options);
  const { reference } = found.pinned;
  return { image: `docker://${reference}`, origin: importedFrom(found.pinned), version: found.version };
}

/**
 * Runs the command again on the current version of another base, whenever that has changed since the last time. It is
 * made as a base of its own, of which only the layers stay.
 */
async function stack(round: Round, source: CommandSource, below: string): Promise<Made | undefined> {
  const { store, name, own } = round;
  const ground = readVersion(store, { name: below });
  if (!round.retry && isStackedOn(round, ground)) return undefined;
  const temporary = `${name.slice(0, 100)}.update`;
  if (readBaseFile(store, temporary))
    expectDone("remove what is left", await runVerb(own, ["base", "rm", temporary]));
  const ref = `${ground.name}@${ground.version}`;
  expectDone(`new ${temporary}`, await runVerb(own, ["base", "new", temporary, "--from", ref]));
  try {
    lastJson("command", await edit(round, temporary, source));
    using _layers = lockLayers(store);
    const top = listVersions(store, temporary).at(-1) as number;
    const { layers, config } = readVersion(store, { name: temporary, version: top }).manifest;
    const made = publishVersion(store, name, {
      layers,
      origin: source.command,
      from: { name: ground.name, version: ground.version },
      candidate: true,
      ...(config && { config }),
    });
    return { version: made.version, published: true };
  } finally {
    await runVerb({ ...own, stop: new AbortController().signal }, ["base", "rm", temporary]);
  }
}

/** Whether the newest version, a failed one too, stands on this version of the other base. */
function isStackedOn({ store, name }: Round, ground: { name: string; version: number }): boolean {
  const newest = listVersions(store, name).at(-1);
  if (newest === undefined) return false;
  const { from } = readVersion(store, { name, version: newest }).manifest;
  return from?.name === ground.name && from.version === ground.version;
}
