/** A container that somebody starts by hand: what is wanted, and the facts of base and host that it needs. */

import { lookup, readMerged, rootFact } from "../overlay/merged-lookup.ts";
import { lockBase, readVersion } from "../store/bases.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { checkInstanceBase, readInstance } from "../store/instances.ts";
import { openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { cgroupLayout } from "../sys/cgroup.ts";
import type { Fd } from "../sys/fd.ts";
import { openAll } from "../sys/files/open-all.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { type IdMap, inUserNamespace, overflowIds } from "../sys/user-namespace.ts";
import { type BaseRef, formatBaseRef } from "../text/names.ts";
import { hasTtyGroup } from "../userns/tty-group.ts";
import { readImageConfig } from "./image-config.ts";
import { type ContainerFacts, hostnameOf } from "./oci-config.ts";
import { resolveUser } from "./user.ts";
import type { Volume } from "./volume.ts";

export interface ContainerOptions {
  readonly base: BaseRef;
  /** the instance that keeps its writes; absent: they go with the container */
  readonly name?: string;
  /** absent: as configured */
  readonly opaque?: readonly string[];
  readonly mask: readonly string[];
  /** bytes */
  readonly tmpfs?: number;
  /** absent: what the image says, else a shell */
  readonly command?: readonly string[];
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly terminal: boolean;
  /** the caller's TERM */
  readonly term?: string;
  readonly network: "host" | "none";
  readonly volumes: readonly Volume[];
  /** a user namespace with these maps */
  readonly idmap?: IdMap;
  /** copy the base where it cannot be idmapped */
  readonly shiftedCopy?: boolean;
}

/** Bytes of /etc/passwd and /etc/group. */
export const ACCOUNTS_LIMIT = 4 * 1024 * 1024;
const RESOLV_CONF = "/etc/resolv.conf";

/**
 * The facts for {@link ociConfig}. Throws VeneerError when there is no such base, UsageError for a user that
 * the root does not know.
 */
export function containerFacts(
  store: Store,
  options: ContainerOptions,
  id: string,
  rootfs: string,
): ContainerFacts {
  using _lock = lockBase(store, options.base);
  const instance = options.name === undefined ? undefined : readInstance(store, options.name);
  if (instance) checkInstanceBase(options.name as string, instance, options.base);
  const ref = instance ? { name: instance.base, version: instance.version } : options.base;
  const version = readVersion(store, ref);
  using layers = openLayers(store, version);
  const generation = instance && paths.generation(store, options.name as string, instance.generation);
  using upper = openUppers(generation === undefined ? [] : partUppers(generation, instance ?? {}));
  const merged = [...upper.fds, ...layers.fds];
  const accounts = {
    passwd: readMerged(merged, "/etc/passwd", ACCOUNTS_LIMIT),
    group: readMerged(merged, "/etc/group", ACCOUNTS_LIMIT),
  };
  const image = readImageConfig(version.manifest.config);
  const term = options.terminal ? [`TERM=${options.term ?? "xterm"}`] : [];
  return {
    hostname: hostnameOf(id),
    rootfs,
    args: options.command ?? (image.command.length > 0 ? image.command : ["/bin/sh"]),
    env: [...term, ...image.env, ...options.env],
    cwd: options.cwd ?? image.workingDir ?? "/",
    user: resolveUser(options.user ?? image.user ?? "0", accounts),
    terminal: options.terminal,
    network: options.network,
    ...(options.network === "host" &&
      lstatMaybe(RESOLV_CONF) &&
      canHold(merged, RESOLV_CONF) && { resolvConf: RESOLV_CONF }),
    volumes: options.volumes,
    cgroups: cgroupLayout(parseMountinfo(readMountinfo("self") ?? "")),
    ...(inUserNamespace() && { rootless: { ttyGroup: hasTtyGroup() } }),
    ...(options.idmap && { idmap: options.idmap }),
    annotations: annotations(options),
  };
}

/** In a base that belongs to none of the namespace's ids no mount point can be made. */
function canHold(merged: readonly Fd[], path: string): boolean {
  const { uid } = rootFact(merged);
  const foreign = inUserNamespace() && uid === overflowIds().uid;
  return !foreign || lookup(merged, path).kind !== "missing";
}

/** The parts of an instance's upper, top first; it has none while it is kept in memory. */
const openUppers = (uppers: readonly string[]) => openAll(uppers.filter((upper) => lstatMaybe(upper)));

/** By which the hook or the wrapping runtime knows what root is wanted. */
function annotations(options: ContainerOptions): Record<string, string> {
  const { name, opaque, mask, tmpfs, shiftedCopy } = options;
  return {
    "run.veneer.base": formatBaseRef(options.base),
    ...(name !== undefined && { "run.veneer.instance": name, "run.veneer.upper": "persistent" }),
    ...(opaque && { "run.veneer.opaque": opaque.join(",") || "none" }),
    ...(mask.length > 0 && { "run.veneer.mask": mask.join(",") }),
    ...(tmpfs !== undefined && { "run.veneer.tmpfs": String(tmpfs) }),
    ...(shiftedCopy && { "run.veneer.shifted-copy": "true" }),
  };
}
