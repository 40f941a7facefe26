/** Options for building the tree of a layer. */
import type { Fd } from "../sys/fd.ts";
import type { Omissions } from "../trees/omissions.ts";

export interface BuildOptions {
  /** treat `.wh.NAME` and `.wh..wh..opq` as markers, as in a layer of an image; otherwise as ordinary files */
  readonly markers: boolean;
  /** root owns every file */
  readonly squash: boolean;
  readonly omissions: Omissions;
  /**
   * Returns the complete layers below, top first; called only when something depends on them. The caller closes them.
   */
  readonly below: () => Promise<readonly Fd[]>;
}
