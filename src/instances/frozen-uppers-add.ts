/** Adds a part to an upper, for a live rebase. */
import { VeneerError } from "../errors.ts";
import { markImpure } from "../overlay/marks.ts";
import { partDirectory } from "../store/frozen-uppers.ts";
import { isUpperInUse } from "../store/mounts/in-use.ts";
import type { Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { moveToTrash } from "../store/trash.ts";
import { mkdirat, mkdirMaybe, rename } from "../sys/fd.ts";
import { AT_FDCWD, RENAME_NOREPLACE } from "../sys/flags.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { copyAttributes } from "../trees/copy-attributes.ts";

/**
 * Creates the empty part `number` in the directory of a generation or ephemeral upper and returns the directory of the
 * part. Its root gets the current attributes of `below`, the upper of the part under it. The part appears complete or
 * not at all, and is not yet durable. Removes a part that a killed rebase left under that number; throws IN_USE while
 * an overlay uses it.
 */
export function makePart(store: Store, directory: string, number: number, below: string): string {
  const place = partDirectory(directory, number);
  mkdirMaybe(`${directory}/parts`, 0o700);
  using staging = makeStaging(store);
  mkdirat(AT_FDCWD, `${staging.path}/upper`, 0o700);
  mkdirat(AT_FDCWD, `${staging.path}/work`, 0o700);
  copyAttributes(below, `${staging.path}/upper`);
  // files that are moved here later may be copy-ups of the base: readdir(3) must then look up their inode numbers
  markImpure(`${staging.path}/upper`);
  if (lstatMaybe(place)) {
    if (isUpperInUse(`${place}/upper`)) {
      throw new VeneerError("IN_USE", `${place} is left over from an earlier rebase, and in use`, {
        hint: "stop the container, then 'veneer gc'",
      });
    }
    moveToTrash(store, place);
  }
  rename(staging.path, place, RENAME_NOREPLACE);
  return place;
}
