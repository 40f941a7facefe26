import { refreshShares } from "../../bases/share.ts";
import { mapOfUser } from "../../bases/user-ids.ts";
import type { Context } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";

/** Updates what users see of all shared bases, with a progress line. */
export async function refreshAllShares(context: Context): Promise<void> {
  using progress = drawProgress(context);
  await refreshShares(context.settings.store, mapOfUser, progress);
}
