/** Plans the operations that give a container its root. Pure: facts in, data out. */

import type { UpperEntry, UpperRoot } from "../overlay/upper-entries.ts";
import type { RootOptions } from "../request/oci-config.ts";
import type { BaseVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import type { EngineName, Placement, UseRecord } from "../store/records.ts";
import type { FsIds } from "../sys/credentials.ts";
import type { ProcessIdentity } from "../sys/process.ts";
import { formatBaseRef } from "../text/names.ts";
import type { UserNamespace } from "../userns/id-map.ts";
import type { Operation } from "./operations.ts";

/** What gets the root, and where the overlay is mounted. */
export interface StartTarget {
  readonly engine: EngineName;
  /** key of the record */
  readonly key: string;
  readonly container?: string;
  readonly bundle?: string;
  /** the owner of the container, where an engine separates its users (request/tenant.ts) */
  readonly tenant?: string;
  /** the container's first process, if it exists already */
  readonly process?: ProcessIdentity;
  /** the preparing process, when that is not this one because another one outlives it */
  readonly preparer?: ProcessIdentity;
  /** MOUNT_ATTR_* of the mount, such as nosuid and nodev; absent for a container's root */
  readonly attributes?: number;
  /** the container's user namespace, to which the overlay is idmapped */
  readonly userns?: UserNamespace;
  readonly mountAt: MountPoint;
}

export type MountPoint =
  /** over the root of a container that is being created, in the mount namespace of its process */
  | { readonly kind: "cover"; readonly pid: number; readonly root: string; readonly options: RootOptions }
  | {
      readonly kind: "directory";
      readonly placement: Placement;
      readonly path: string;
      /** the path is canonical, and others may own directories in it: none of them may have become a link */
      readonly exact?: boolean;
      /** the directory is ours: created before the mount, and removed after the unmount */
      readonly own?: boolean;
      /** can reach it besides root */
      readonly owner?: FsIds;
    };

/** Further operations after the overlay is mounted. */
export type AfterMount = (record: UseRecord) => Operation[];

/** Where the container's changes are written. */
export type UpperPlan =
  | {
      readonly kind: "existing";
      /** directory of the top part */
      readonly directory: string;
      /** how many of the top layers are lower parts of this upper */
      readonly parts?: number;
    }
  | {
      readonly kind: "fresh";
      readonly directory: string;
      readonly root: UpperRoot;
      readonly entries: readonly UpperEntry[];
    }
  | {
      readonly kind: "tmpfs";
      readonly bytes: number;
      readonly root: UpperRoot;
      readonly entries: readonly UpperEntry[];
    };

export interface StartFacts {
  readonly store: Store;
  readonly base: BaseVersion;
  /** directories of the layers, top first: lower parts of the upper, then the layers of the version */
  readonly layers: readonly string[];
  readonly instance?: string;
  /** name of the directory of an ephemeral upper */
  readonly ephemeral?: string;
  readonly upper: UpperPlan;
  readonly target: StartTarget;
  readonly afterMount?: AfterMount | undefined;
  /** patterns of paths of the base that are hidden from it */
  readonly mask: readonly string[];
  /** source of the overlay in mountinfo */
  readonly source: string;
  /** the top layer is the tree of an image */
  readonly image?: boolean;
  /** host ids of the user namespace's root, when layers and upper on disk have owners shifted to that namespace */
  readonly shifted?: FsIds;
  readonly preparer: ProcessIdentity;
  /** ISO 8601 */
  readonly now: string;
}

/** First the record, then the upper, the overlay and its mount, so that `gc` can clean up after a kill at any point. */
export function planStart(facts: StartFacts): Operation[] {
  const { target, upper, layers, source } = facts;
  const record = recordOf(facts, source);
  const operations: Operation[] = [{ op: "record", record }];
  const directory = upper.kind === "tmpfs" ? undefined : upper.directory;
  if (upper.kind === "fresh")
    operations.push({ op: "upper", directory: upper.directory, root: upper.root, entries: upper.entries });
  if (upper.kind === "tmpfs") {
    operations.push({ op: "tmpfs-upper", bytes: upper.bytes, root: upper.root, entries: upper.entries });
  }
  operations.push({
    op: "overlay",
    layers,
    ...(directory !== undefined && { directory }),
    volatile: facts.ephemeral !== undefined && upper.kind === "fresh",
    ...(target.attributes && { attributes: target.attributes }),
    ...(facts.image && { image: true }),
    ...(upper.kind === "existing" && upper.parts && { parts: upper.parts }),
    ...(facts.shifted ? { as: facts.shifted } : target.userns && { idmapped: true }),
    source,
  });
  const { mountAt } = target;
  if (mountAt.kind === "directory" && mountAt.own) {
    const { path, owner } = mountAt;
    operations.push({ op: "mount-point", path, ...(owner && { owner }) });
  }
  // a runtime trusts this root: runc up to 1.1 follows a link at /dev to a directory of the host
  if (mountAt.kind === "directory" && target.engine !== "mount") {
    operations.push({
      op: "refuse-links",
      names: ["dev", "proc", "sys"],
      base: formatBaseRef({ name: facts.base.name, version: facts.base.version }),
      ...(upper.kind === "existing" && { upper: `${upper.directory}/upper`, instance: facts.instance }),
    });
  }
  operations.push(
    mountAt.kind === "cover"
      ? { op: "cover", pid: mountAt.pid, root: mountAt.root, options: mountAt.options }
      : {
          op: "attach",
          target: mountAt.path,
          ...(mountAt.placement === "private" && { here: true }),
          ...(mountAt.exact && { exact: true }),
        },
    ...(facts.afterMount?.(record) ?? []),
  );
  return operations;
}

function recordOf(facts: StartFacts, source: string): UseRecord {
  const { target, upper, instance, ephemeral } = facts;
  const { mountAt } = target;
  return {
    key: target.key,
    engine: target.engine,
    ...(target.container !== undefined && { container: target.container }),
    ...(target.bundle !== undefined && { bundle: target.bundle }),
    ...(instance !== undefined && { instance }),
    ...(ephemeral !== undefined && { ephemeral }),
    base: facts.base.name,
    version: facts.base.version,
    placement: mountAt.kind === "cover" ? "container" : mountAt.placement,
    target: mountAt.kind === "cover" ? mountAt.root : mountAt.path,
    source,
    overlay: {},
    ...(upper.kind === "tmpfs" ? { tmpfs: true } : { upper: `${upper.directory}/upper` }),
    ...(facts.mask.length > 0 && { mask: facts.mask }),
    ...(facts.image && { image: true }),
    preparer: facts.preparer,
    ...(target.process && { process: target.process }),
    ...(target.userns && { [facts.shifted ? "shifted" : "idmap"]: target.userns.map ?? {} }),
    created: facts.now,
  };
}
