/** Whether a root that another program prepared is an overlay of ours already. */

import type { Fd } from "../../sys/fd.ts";
import { mountStatus } from "../../sys/file-place.ts";
import type { Store } from "../paths.ts";
import { listRecords } from "../records.ts";
import { isOverlayOf } from "./identity.ts";

/** Whether `root` is the root of an overlay that a record of this store describes. */
export function isAnyOverlay(store: Store, root: Fd): boolean {
  const { device } = mountStatus(root.number);
  return listRecords(store, "", () => {}).some(
    (record) => record.overlay?.device === device && isOverlayOf(record, root),
  );
}
