/** The start of an ephemeral container: on a fresh upper, which is removed with the container. */
import { VeneerError } from "../errors.ts";
import type { Settings } from "../request/config.ts";
import type { RootRequest } from "../request/root-request.ts";
import { lockBase, readVersion } from "../store/bases.ts";

import { freshUpper, openLayers } from "../store/open-layers.ts";
import { paths } from "../store/paths.ts";
import { uniqueSuffix } from "../sys/fd.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { requireRoot } from "../userns/of-container.ts";
import { carryOut, idmapFor, replaceOwnRecord } from "./carry-out.ts";
import { freshUpperOfImage } from "./image-upper.ts";
import type { AfterMount, StartTarget, UpperPlan } from "./plan.ts";
import { refuseHeld } from "./refuse-held.ts";
import { shiftedPaths } from "./shifted-layers.ts";

/**
 * Starts on a fresh upper; with `shifted`, on the copies of the layers for these maps. Without `shifted`, when the
 * layers cannot be idmapped, creates nothing and returns the reason.
 */
export function startEphemeral(
  settings: Settings,
  request: RootRequest,
  target: StartTarget,
  afterMount?: AfterMount,
  shifted?: IdMap,
): VeneerError | undefined {
  const { store } = settings;
  const ref = request.base;
  if (!ref) {
    throw new VeneerError(
      "NO_INSTANCE",
      `no instance ${request.instance} in ${store.root}, and no base is named for it`,
      {
        hint: "'veneer ls' lists the instances",
      },
    );
  }
  if (request.instance !== undefined) refuseHeld(store, request.instance);
  replaceOwnRecord(store, target);
  using _baseLock = lockBase(store, ref);
  const base = readVersion(store, ref);
  const image = request.layered && target.mountAt.kind === "directory" ? [target.mountAt.path] : [];
  const copies = shifted && shiftedPaths(store, base.manifest, shifted);
  using layers = openLayers(store, base, image, copies);
  const how = { inMemory: request.tmpfs !== undefined, image: image.length > 0 };
  const idmap = shifted ? undefined : idmapFor(store, target, layers, how);
  if (idmap?.kind === "refused") return idmap.why;
  const ephemeral = uniqueSuffix();
  const fresh =
    how.image && idmap
      ? freshUpperOfImage(idmap, target.userns?.map, request)
      : freshUpper(layers.fds, request);
  const upper: UpperPlan =
    request.tmpfs === undefined
      ? { kind: "fresh", directory: paths.ephemeral(store, ephemeral), ...fresh }
      : { kind: "tmpfs", bytes: request.tmpfs, ...fresh };
  const instance = request.instance === undefined ? {} : { instance: request.instance };
  carryOut(settings, {
    base,
    layers,
    idmap,
    ...instance,
    ephemeral,
    upper,
    target,
    afterMount,
    mask: request.mask,
    image: how.image,
    ...(shifted && { shifted: requireRoot(shifted) }),
  });
  return undefined;
}
