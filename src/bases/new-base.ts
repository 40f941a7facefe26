/** Creates bases without an import: empty, or on top of a version of another base. */

import { publishVersion } from "../layers/publish-version.ts";
import { sealLayer } from "../layers/seal.ts";
import { type BaseVersion, lockBase, readVersion } from "../store/bases.ts";
import { lockLayers, makeLayerDirectory, publishLayer, syncStore } from "../store/layers.ts";
import { makeStore, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";

/**
 * Creates a base that is one empty directory, 0755. Durable on return. Throws EXISTS when the name is taken. `gc`
 * removes what a kill in between leaves behind.
 */
export function makeEmptyBase(store: Store, name: string): BaseVersion {
  makeStore(store);
  using staging = makeStaging(store);
  const layer = `${staging.path}/layer`;
  makeLayerDirectory(layer);
  const origin = "empty";
  const sealed = sealLayer(layer, { origin });
  syncStore(store);
  using _layers = lockLayers(store);
  publishLayer(store, sealed);
  return publishVersion(store, name, { layers: [{ id: sealed.id }], origin }, "new");
}

/** Creates a base with the layers of a version of another. Durable on return. Throws EXISTS when the name is taken. */
export function stackBase(store: Store, name: string, ref: BaseRef): BaseVersion {
  using _lock = lockBase(store, ref);
  const below = readVersion(store, ref);
  const { layers, config } = below.manifest;
  return publishVersion(
    store,
    name,
    {
      layers,
      origin: `from ${formatBaseRef(below)}`,
      from: { name: below.name, version: below.version },
      ...(config && { config }),
    },
    "new",
  );
}
