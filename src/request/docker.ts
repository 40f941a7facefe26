/** How a runtime recognizes Docker's containers: config.json does not name the engine. */
import { type Owner, ownerAt } from "../store/owners.ts";
import { lstatMaybe } from "../sys/stat.ts";
import type { BundleConfig } from "./oci-config.ts";
import type { RequestOptions } from "./root-request.ts";

/** Files that Docker bind mounts into every container: its own, or those of a container whose network it shares. */
const BOUND = /^(\/.*\/containers)\/[0-9a-f]{64}\/(?:hosts|hostname|resolv\.conf)$/;

/**
 * The owner for a Docker container with this id; undefined for containers of other engines. Docker keeps
 * DATA-ROOT/containers/ID from `docker create` to `docker rm`.
 */
export function dockerOwner(config: BundleConfig, id: string): Owner | undefined {
  if (!/^[0-9a-f]{64}$/.test(id)) return undefined;
  for (const { source } of config.mounts ?? []) {
    const containers = BOUND.exec(source ?? "")?.[1];
    if (containers === undefined) continue;
    const directory = `${containers}/${id}`;
    return lstatMaybe(`${directory}/config.v2.json`) ? ownerAt(directory) : undefined;
  }
  return undefined;
}

/**
 * The request with an instance for a Docker container's changes, which last until `docker rm`. Undefined when the
 * container asks for something else.
 */
export function ownedInstance(requested: RequestOptions, id: string): RequestOptions | undefined {
  if (requested.base === undefined || requested.instance !== undefined) return undefined;
  if (requested.tmpfs !== undefined || requested.persistent === false) return undefined;
  return { instance: `docker-${id}`, persistent: true };
}
