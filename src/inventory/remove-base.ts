/** Removes bases and versions, and the layers that nothing needs afterwards. */
import { VeneerError } from "../errors.ts";
import { readVersion } from "../store/bases.ts";
import { lockLayers } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { allSessions } from "../store/sessions.ts";
import { refuseShared } from "../store/shared.ts";
import { allShares } from "../store/shares.ts";
import { moveToTrash } from "../store/trash.ts";
import { allVersions, changeBase, listVersions, removeVersion } from "../store/versions.ts";
import { syncDirectory } from "../sys/fd.ts";
import { LOCK_EX, LOCK_NB } from "../sys/flags.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { listUses } from "./uses.ts";

/**
 * Removes a version, or the whole base when `ref` has no version, and moves the layers that nothing else needs to the
 * trash. Throws while anything uses it; the error names who. Returns the paths in the trash, which the caller deletes.
 * `gc` frees the layers that a kill in between leaves behind.
 */
export function removeBase(store: Store, ref: BaseRef): string[] {
  refuseShared(store, ref.name);
  using lock = changeBase(store, ref.name);
  // throws the error that says what does not exist
  if (!lock || ref.version !== undefined) readVersion(store, ref);
  const all = listVersions(store, ref.name);
  const removed = ref.version === undefined ? all : [ref.version];
  refuseUsed(store, ref, removed);
  const layers = new Set(removed.flatMap((version) => layerIds(store, { name: ref.name, version })));
  const trash: string[] = [];
  if (removed.length === all.length) {
    const moved = moveToTrash(store, paths.base(store, ref.name));
    if (moved !== undefined) trash.push(moved);
    syncDirectory(paths.bases(store));
  } else removeVersion(store, ref.name, ref.version as number);
  return [...trash, ...freeLayers(store, layers)];
}

/** The ids of the layers of a version that are in the store. */
function layerIds(store: Store, ref: BaseRef): string[] {
  return readVersion(store, ref).manifest.layers.flatMap((layer) => ("id" in layer ? [layer.id] : []));
}

function refuseUsed(store: Store, ref: BaseRef, versions: readonly number[]): void {
  const uses = listUses(store, ref.name).filter(
    (use) => versions.includes(use.version) && !(use.kind === "base" && use.user?.name === ref.name),
  );
  if (uses.length === 0) return;
  const shown = uses
    .slice(0, 5)
    .map((use) => `${use.who} (on ${formatBaseRef({ name: use.base, version: use.version })})`);
  if (uses.length > 5) shown.push(`${uses.length - 5} more`);
  throw new VeneerError("IN_USE", `${formatBaseRef(ref)} is used by ${shown.join(", ")}`, {
    hint: "remove or stop these first; 'veneer base log' shows which version each uses",
  });
}

/**
 * The ids of all layers that are named by a manifest or by a session whose commit was interrupted, except sessions of
 * the bases in `without`. Throws when one of these documents cannot be read: then nothing may be freed.
 */
export function referencedLayers(store: Store, without: ReadonlySet<string> = new Set()): Set<string> {
  const ids = new Set<string>();
  for (const { manifest } of allVersions(store)) {
    for (const layer of manifest.layers) if ("id" in layer) ids.add(layer.id);
  }
  for (const [, { versions }] of allShares(store)) {
    for (const { flat } of Object.values(versions)) if (flat !== undefined) ids.add(flat);
  }
  for (const [name, session] of allSessions(store)) if (!without.has(name)) ids.add(session.layer);
  return ids;
}

/**
 * Moves the given layers that no manifest names to the trash; returns their paths there. Does nothing while an import
 * has published a layer but not yet the manifest that names it: `gc` frees the layers later.
 */
export function freeLayers(store: Store, candidates: Iterable<string>): string[] {
  using lock = lockLayers(store, LOCK_EX | LOCK_NB);
  if (!lock) return [];
  const needed = referencedLayers(store);
  const freed: string[] = [];
  for (const id of candidates) {
    const trash = needed.has(id) ? undefined : moveToTrash(store, paths.layer(store, id));
    if (trash !== undefined) freed.push(trash);
  }
  syncDirectory(paths.layers(store));
  return freed;
}
