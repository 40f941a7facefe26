/** The steps of a start as plain data: planned by plan.ts, run by run-operations.ts, printed with --debug. */

import type { UpperEntry, UpperRoot } from "../overlay/upper-entries.ts";
import type { RootOptions } from "../request/oci-config.ts";
import type { UseRecord } from "../store/records.ts";
import type { FsIds } from "../sys/credentials.ts";

export type Operation =
  /** writes the record, which names everything that follows; undone by removing it */
  | { readonly op: "record"; readonly record: UseRecord }
  /** creates DIRECTORY/upper and DIRECTORY/work */
  | {
      readonly op: "upper";
      readonly directory: string;
      readonly root: UpperRoot;
      readonly entries: readonly UpperEntry[];
    }
  /** like "upper", on a tmpfs of its own that is not attached anywhere */
  | {
      readonly op: "tmpfs-upper";
      readonly bytes: number;
      readonly root: UpperRoot;
      readonly entries: readonly UpperEntry[];
    }
  /** creates a detached overlay; layers are top first; without `directory` it uses the upper of "tmpfs-upper" */
  | {
      readonly op: "overlay";
      readonly layers: readonly string[];
      readonly directory?: string;
      readonly volatile: boolean;
      /** MOUNT_ATTR_*; absent: none */
      readonly attributes?: number;
      /** the top layer is the tree of an image, mounted by the engine */
      readonly image?: boolean;
      /**
       * how many of the top layers are lower parts of the upper, which have plain ids and are idmapped like the others
       */
      readonly parts?: number;
      /** idmapped to the container's user namespace */
      readonly idmapped?: boolean;
      /** owner of what is created in it */
      readonly as?: FsIds;
      readonly source: string;
    }
  /** creates a directory to mount on; `owner` can reach it besides root */
  | { readonly op: "mount-point"; readonly path: string; readonly owner?: FsIds }
  /** mounts the overlay on a directory; `here`: visible in this mount namespace only */
  | { readonly op: "attach"; readonly target: string; readonly here?: boolean; readonly exact?: boolean }
  /** fails when top-level entries that a runtime writes to or mounts on are symbolic links */
  | {
      readonly op: "refuse-links";
      readonly names: readonly string[];
      readonly base: string;
      /** an existing upper, which a container may have written to, and its instance */
      readonly upper?: string;
      readonly instance?: string | undefined;
    }
  /** mounts the overlay over the root of a container that is being created, and moves the root's mounts onto it */
  | {
      readonly op: "cover";
      readonly pid: number;
      readonly root: string;
      readonly options: RootOptions;
    }
  /** writes `text` to `file` and bind mounts that over `target`, visible in this mount namespace only */
  | {
      readonly op: "bind-file";
      readonly file: string;
      readonly text: string;
      readonly target: string;
      /** afterwards, the original `target` is visible at `file` */
      readonly exchange?: boolean;
    }
  /** writes a text to stdout */
  | { readonly op: "print"; readonly text: string };
