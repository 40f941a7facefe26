/** The operations that give a container its root. Pure: facts in, data out. */

import type { UpperEntry, UpperRoot } from "../overlay/upper-entries.ts";
import type { RootOptions } from "../request/oci-config.ts";
import type { BaseVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import type { Engine, Placement, Record } from "../store/records.ts";
import type { FsIds } from "../sys/credentials.ts";
import type { ProcessIdentity } from "../sys/process.ts";
import { formatBaseRef } from "../text/names.ts";
import type { UserNamespace } from "../userns/id-map.ts";
import type { Operation } from "./operations.ts";

/** Who asks, and where the overlay goes. */
export interface Consumer {
  readonly engine: Engine;
  /** the record's name */
  readonly key: string;
  readonly container?: string;
  readonly bundle?: string;
  /** the container's first process, where it exists already */
  readonly process?: ProcessIdentity;
  /** who prepares and outlives this process; absent: this process */
  readonly preparer?: ProcessIdentity;
  /** mount nosuid and nodev: not for a container's root */
  readonly restricted?: boolean;
  /** the container's user namespace, to which the overlay is idmapped */
  readonly userns?: UserNamespace;
  readonly place:
    | {
        readonly placement: "container";
        readonly pid: number;
        readonly root: string;
        readonly options: RootOptions;
      }
    | {
        readonly placement: Placement;
        readonly target: string;
        /** the target is ours: made first, and removed after the unmount */
        readonly own?: boolean;
        /** who reaches it besides root */
        readonly owner?: FsIds;
      };
}

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
  readonly consumer: Consumer;
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

/** Record first, then the upper, then the overlay, then its place: a kill in between leaves what `gc` finds. */
export function planStart(facts: StartFacts): Operation[] {
  const { consumer, upper, layers } = facts;
  const { source } = facts;
  const operations: Operation[] = [{ op: "record", record: recordOf(facts, source) }];
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
    ...(consumer.restricted && { restricted: true }),
    ...(facts.image && { image: true }),
    ...(upper.kind === "existing" && upper.parts && { parts: upper.parts }),
    ...(facts.shifted ? { as: facts.shifted } : consumer.userns && { idmapped: true }),
    source,
  });
  const { place } = consumer;
  if ("own" in place && place.own) {
    operations.push({ op: "mount-point", path: place.target, ...(place.owner && { owner: place.owner }) });
  }
  // a runtime takes what it finds for an ordinary root: runc up to 1.1 follows a link at /dev out to the host
  if (!("pid" in place) && consumer.engine !== "mount") {
    operations.push({
      op: "refuse-links",
      names: ["dev", "proc", "sys"],
      base: formatBaseRef({ name: facts.base.name, version: facts.base.version }),
      ...(upper.kind === "existing" && { upper: `${upper.directory}/upper`, instance: facts.instance }),
    });
  }
  operations.push(
    "pid" in place
      ? { op: "cover", pid: place.pid, root: place.root, options: place.options }
      : { op: "attach", target: place.target, ...(place.placement === "private" && { here: true }) },
  );
  return operations;
}

function recordOf(facts: StartFacts, source: string): Record {
  const { consumer, upper, instance, ephemeral } = facts;
  const { place } = consumer;
  return {
    key: consumer.key,
    engine: consumer.engine,
    ...(consumer.container !== undefined && { container: consumer.container }),
    ...(consumer.bundle !== undefined && { bundle: consumer.bundle }),
    ...(instance !== undefined && { instance }),
    ...(ephemeral !== undefined && { ephemeral }),
    base: facts.base.name,
    version: facts.base.version,
    placement: place.placement,
    target: "pid" in place ? place.root : place.target,
    source,
    overlay: {},
    ...(upper.kind === "tmpfs" ? { tmpfs: true } : { upper: `${upper.directory}/upper` }),
    ...(facts.mask.length > 0 && { mask: facts.mask }),
    ...(facts.image && { image: true }),
    preparer: facts.preparer,
    ...(consumer.process && { process: consumer.process }),
    ...(consumer.userns && { [facts.shifted ? "shifted" : "idmap"]: consumer.userns.map ?? {} }),
    created: facts.now,
  };
}
