/** Makes files of layers that are in the store already, and the same in several of them, one. */
import { listUses, type Use } from "../inventory/uses.ts";
import { unescapePath } from "../layers/listing.ts";
import { layersToShare, type SharedFiles, shareFiles } from "../layers/share-files.ts";
import { listingFile, readLines } from "../layers/sums.ts";
import type { Progress } from "../process/progress.ts";
import { writeDocument } from "../store/document.ts";
import { type Layer, lockLayers, readLayer, syncStore } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { allVersions, changeBase, namesIn } from "../store/versions.ts";
import { createFile, openDirectory, syncDirectory, unlink } from "../sys/fd.ts";
import { lstatMaybe, setTime } from "../sys/stat.ts";
import { formatBaseRef } from "../text/names.ts";
import { lockTrash } from "./collect.ts";

export interface Deduped extends SharedFiles {
  readonly layer: string;
  /** something stands on it now, and it was left: overlayfs wants its layers unchanged while they are mounted */
  readonly inUse?: true;
}

/**
 * Looks through all layers, the oldest first, and makes files that are the same in others those of the others; layers
 * that something stands on now are left. A start waits while a layer of its base is worked on; of two at once the second waits, `gc` too. Durable on return; a kill
 * in between leaves the same files, and directories whose times {@link settleDedupe} puts right.
 */
export function dedupeStore(store: Store, progress: Progress): Deduped[] {
  using _one = lockTrash(store);
  using _layers = lockLayers(store);
  settleDedupe(store);
  const known = namesIn(paths.layers(store)).flatMap((id) => {
    const layer = readLayer(store, id);
    return layer ? [{ id, layer }] : [];
  });
  known.sort((a, b) => (a.layer.created < b.layer.created ? -1 : 1));
  return known.map(({ id, layer }, index) => {
    progress.step(`looking through layer ${index + 1} of ${known.length}`);
    return dedupeLayer(store, id, layer);
  });
}

function dedupeLayer(store: Store, id: string, layer: Layer): Deduped {
  const users = [...allVersions(store)].filter(({ manifest }) =>
    manifest.layers.some((one) => "id" in one && one.id === id),
  );
  // nothing starts on it before the locks go; names in order, so that two at once do not wait for each other
  const names = [...new Set(users.map(({ name }) => name))].sort();
  using locks = new DisposableStack();
  for (const name of names) locks.use(changeBase(store, name));
  const uses = names.flatMap((name) => listUses(store, name)).filter(isLive);
  const stoodOn = new Set(uses.map(({ base, version }) => formatBaseRef({ name: base, version })));
  if (users.some((user) => stoodOn.has(formatBaseRef(user)))) {
    return { layer: id, files: 0, bytes: 0, inUse: true };
  }
  const directory = paths.layer(store, id);
  const lines = readLines(listingFile(directory));
  if (!lines) return { layer: id, files: 0, bytes: 0 };
  const linked = namesOfLinks(lines);
  mark(directory);
  const found = shareFiles(store, paths.layerTree(store, id), layersToShare(store, id), (path) =>
    linked.has(path),
  );
  syncStore(store);
  if (found.bytes > 0) {
    const { bytes, shared = 0 } = layer;
    const now = { ...layer, bytes: Math.max(bytes - found.bytes, 0), shared: shared + found.bytes };
    writeDocument(paths.layerFile(store, id), now, { sync: true });
  }
  unmark(directory);
  return { layer: id, ...found };
}

const isLive = ({ kind }: Use) => ["container", "mount", "session", "share"].includes(kind);

/** All names of files of which the listing has several. */
function namesOfLinks(lines: readonly string[]): Set<string> {
  const names = new Set<string>();
  for (const line of lines) {
    const [, name, first] = /^(\S+) link=(\S+)$/.exec(line) ?? [];
    if (name === undefined || first === undefined) continue;
    names.add(unescapePath(name)).add(unescapePath(first));
  }
  return names;
}

/** While it is there, times of the layer's directories may not be those of its listing. */
const markFile = (directory: string) => `${directory}/sharing`;

function mark(directory: string): void {
  createFile(markFile(directory), "", { sync: true });
  syncDirectory(directory);
}

function unmark(directory: string): void {
  unlink(markFile(directory));
}

/** Gives the directories of layers at which a {@link dedupeStore} was killed their times again. The caller holds {@link lockTrash}. */
export function settleDedupe(store: Store): void {
  for (const id of namesIn(paths.layers(store))) {
    const directory = paths.layer(store, id);
    if (!lstatMaybe(markFile(directory))) continue;
    using tree = openDirectory(paths.layerTree(store, id));
    for (const line of readLines(listingFile(directory)) ?? []) {
      const [, name, seconds, nanoseconds] =
        /^(\S+) mode=4[0-7]{4} .* time=(-?[0-9]+)\.([0-9]+)/.exec(line) ?? [];
      if (name === undefined) continue;
      const mtime = { seconds: BigInt(seconds as string), nanoseconds: Number(nanoseconds) };
      setTime(unescapePath(name), mtime, tree.number);
    }
    syncStore(store);
    unmark(directory);
  }
}
