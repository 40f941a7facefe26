/** What a start does, as plain data: planned by plan.ts, run by run-operations.ts, printed by --debug. */

import type { UpperEntry, UpperRoot } from "../overlay/upper-entries.ts";
import type { RootOptions } from "../request/oci-config.ts";
import type { UseRecord } from "../store/records.ts";
import type { FsIds } from "../sys/credentials.ts";

export type Operation =
  /** says what is about to be made; undone by removing it */
  | { readonly op: "record"; readonly record: UseRecord }
  /** makes DIRECTORY/upper and DIRECTORY/work */
  | {
      readonly op: "upper";
      readonly directory: string;
      readonly root: UpperRoot;
      readonly entries: readonly UpperEntry[];
    }
  /** the same on a tmpfs of its own, which is mounted nowhere */
  | {
      readonly op: "tmpfs-upper";
      readonly bytes: number;
      readonly root: UpperRoot;
      readonly entries: readonly UpperEntry[];
    }
  /** a detached overlay; top layer first; without `directory` the upper is that of "tmpfs-upper" */
  | {
      readonly op: "overlay";
      readonly layers: readonly string[];
      readonly directory?: string;
      readonly volatile: boolean;
      /** MOUNT_ATTR_*; absent: none */
      readonly attributes?: number;
      /** the topmost layer is the tree of an image, which is a mount of the engine's */
      readonly image?: boolean;
      /** how many of the layers, from the top, are lower parts of the upper: plain ids too, idmapped like the others */
      readonly parts?: number;
      /** to the container's user namespace */
      readonly idmapped?: boolean;
      /** by whom what is missing in it is made */
      readonly as?: FsIds;
      readonly source: string;
    }
  /** makes a directory to mount on; `owner`: who reaches it besides root */
  | { readonly op: "mount-point"; readonly path: string; readonly owner?: FsIds }
  /** mounts the overlay on a directory; `here`: seen in this mount namespace alone */
  | { readonly op: "attach"; readonly target: string; readonly here?: boolean }
  /** directories at the top of the overlay that a runtime writes to or mounts on must not be symbolic links */
  | {
      readonly op: "refuse-links";
      readonly names: readonly string[];
      readonly base: string;
      /** an upper that has been written to before, and its instance */
      readonly upper?: string;
      readonly instance?: string | undefined;
    }
  /** mounts the overlay over the root of a container that is being created, and puts its mounts back on top */
  | {
      readonly op: "cover";
      readonly pid: number;
      readonly root: string;
      readonly options: RootOptions;
    }
  /** writes `text` to `file` and binds that over `target`, seen in this mount namespace alone */
  | {
      readonly op: "bind-file";
      readonly file: string;
      readonly text: string;
      readonly target: string;
      /** `target` as it was is then seen at `file` */
      readonly exchange?: boolean;
    }
  /** hands a text to whoever reads stdout */
  | { readonly op: "print"; readonly text: string };
