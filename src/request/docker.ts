/** What Docker's containers look like to a runtime: it says nowhere that it is Docker. */
import { type Owner, ownerAt } from "../store/owners.ts";
import { lstatMaybe } from "../sys/stat.ts";
import type { BundleConfig } from "./oci-config.ts";
import type { RequestOptions } from "./root-request.ts";

/** Files that Docker binds into every container, its own or those of the one whose network it shares. */
const BOUND = /^(\/.*\/containers)\/[0-9a-f]{64}\/(?:hosts|hostname|resolv\.conf)$/;

/**
 * Docker's container of this id, when it is one: Docker keeps DATA-ROOT/containers/ID from `docker create` to
 * `docker rm`. Undefined for the containers of other engines.
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
 * The instance that takes a Docker container's writes: they last until `docker rm`, unless the container asks
 * for something else. Undefined where it does.
 */
export function ownedInstance(requested: RequestOptions, id: string): RequestOptions | undefined {
  if (requested.base === undefined || requested.instance !== undefined) return undefined;
  if (requested.tmpfs !== undefined || requested.persistent === false) return undefined;
  return { instance: `docker-${id}`, persistent: true };
}
