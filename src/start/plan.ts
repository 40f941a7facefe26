/** The operations that give a container its root. Pure: facts in, data out. */

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

/** What gets the root, and where the overlay goes. */
export interface StartTarget {
  readonly engine: EngineName;
  /** the record's name */
  readonly key: string;
  readonly container?: string;
  readonly bundle?: string;
  /** whose container it is, where an engine keeps its users apart */
  readonly tenant?: string;
  /** the container's first process, where it exists already */
  readonly process?: ProcessIdentity;
  /** who prepares and outlives this process; absent: this process */
  readonly preparer?: ProcessIdentity;
  /** MOUNT_ATTR_* of the mount, nosuid and nodev: not for a container's root */
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
      /** the directory is ours: made first, and removed after the unmount */
      readonly own?: boolean;
      /** who reaches it besides root */
      readonly owner?: FsIds;
    };

/** What a start does when the overlay is in place. */
export type AfterMount = (record: UseRecord) => Operation[];

/** Where the writes go. */
export type UpperPlan =
  | {
      readonly kind: "existing";
      /** of the part that is written to */
      readonly directory: string;
      /** how many of the layers, from the top, are lower parts of this upper */
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
  /** directories of the layers, top first; lower parts of the upper before those of the version */
  readonly layers: readonly string[];
  readonly instance?: string;
  /** name of the directory of an ephemeral upper */
  readonly ephemeral?: string;
  readonly upper: UpperPlan;
  readonly target: StartTarget;
  readonly afterMount?: AfterMount | undefined;
  /** patterns of what it may not see of the base */
  readonly mask: readonly string[];
  /** what mountinfo shall show as the source of the overlay */
  readonly source: string;
  /** the topmost layer is the tree of an image */
  readonly image?: boolean;
  /** root of the user namespace whose owners layers and upper have on the disk */
  readonly shifted?: FsIds;
  readonly preparer: ProcessIdentity;
  /** ISO 8601 */
  readonly now: string;
}

/** The record first, then the upper, then the overlay, then its place: a kill in between leaves what `gc` finds. */
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
  // a runtime takes what it finds for an ordinary root: runc up to 1.1 follows a link at /dev out to the host
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
      : { op: "attach", target: mountAt.path, ...(mountAt.placement === "private" && { here: true }) },
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
