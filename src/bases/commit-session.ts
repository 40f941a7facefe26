/** Publishes a session as the next version of its base. */
import { VeneerError, withContext } from "../errors.ts";
import { shortenLayers } from "../layers/flatten.ts";
import { publishVersion } from "../layers/publish-version.ts";
import type { CommitOptions, Published } from "../layers/published.ts";
import { sealLayer } from "../layers/seal.ts";
import { shareNew } from "../layers/share-files.ts";
import { changesNothing } from "../layers/unchanged.ts";
import type { Progress } from "../process/progress.ts";
import { runProgram } from "../process/run-program.ts";
import { type BaseVersion, readVersion } from "../store/bases.ts";
import { hasLayer, lockLayers, publishLayer, readLayer } from "../store/layers.ts";
import { openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { lockSession, publishedAs, type Session } from "../store/sessions.ts";
import { requireCurrent } from "../store/versions.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { dropSession } from "./edit-session.ts";

/**
 * Publishes an unmounted session as the next version; drops it when it changed nothing but times. The caller holds
 * {@link lockSession}. After a kill at any point there is the unchanged session, or one that a second commit finishes,
 * or the new version. Throws MOVED when the current version of the base is no longer the one that was edited.
 */
export async function commitSession(
  store: Store,
  name: string,
  session: Session,
  origin: string,
  progress: Progress,
  options: CommitOptions = {},
): Promise<Published> {
  const done = publishedAs(store, name, session);
  if (done) {
    await dropSession(store, name, session);
    return done;
  }
  const base = readVersion(store, { name, version: session.version });
  const directory = paths.sessionLayer(store, name);
  const expected = options.force ? undefined : { current: session.version };
  if (expected) requireGround(store, name, session);
  if (!options.always && lstatMaybe(directory) && isUnchanged(store, name, base)) {
    await dropSession(store, name, session);
    return { ...base, unchanged: true };
  }
  using _layers = lockLayers(store);
  if (lstatMaybe(directory)) {
    const shared = shareNew(store, paths.sessionUpper(store, name), progress, options.shareFiles);
    progress.step("listing and writing to disk");
    const flushed = runProgram("sync", ["-f", directory]);
    try {
      sealLayer(directory, { origin, id: session.layer, shared });
    } finally {
      await flushed;
    }
  }
  const layer = hasLayer(store, session.layer) ? readLayer(store, session.layer) : undefined;
  if (lstatMaybe(directory)) publishLayer(store, { id: session.layer, directory });
  else if (!layer) throw new VeneerError("NO_LAYER", `the layer of the session of base ${name} is gone`);
  const { layers, config, from } = base.manifest;
  const content = {
    layers: [{ id: session.layer }, ...(await shortenLayers(store, layers, progress))],
    origin,
    candidate: options.candidate,
    ...(config && { config }),
    ...(from && { from }),
  };
  const version = publishVersion(store, name, content, expected);
  await dropSession(store, name, session);
  return version;
}

function isUnchanged(store: Store, name: string, base: BaseVersion): boolean {
  using layers = openLayers(store, base);
  return changesNothing(paths.sessionUpper(store, name), layers.fds);
}

/** Throws early what {@link publishVersion} would throw after all the work. */
function requireGround(store: Store, name: string, { version }: Session): void {
  withContext(
    `the session stands on version ${version}`,
    () => requireCurrent(store, name, version),
    () =>
      `--force publishes it anyway and undoes what was changed since; 'veneer base abort ${name}' drops the session`,
  );
}
