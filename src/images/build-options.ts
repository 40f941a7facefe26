/** How the tree of a layer is built. */
import type { Fd } from "../sys/fd.ts";
import type { Omissions } from "../trees/omissions.ts";

export interface BuildOptions {
  /** `.wh.NAME` and `.wh..wh..opq` are markers, as in a layer of an image; else files like others */
  readonly markers: boolean;
  /** every file becomes root's */
  readonly squash: boolean;
  readonly omissions: Omissions;
  /** The layers below, top first, whole; called where something depends on them. They stay the caller's. */
  readonly below: () => Promise<readonly Fd[]>;
}
