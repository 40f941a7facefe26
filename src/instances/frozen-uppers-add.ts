/** A further part of an upper, for a live rebase. */
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
 * Makes part `number` in the directory of a generation or ephemeral upper, empty, its root with the attributes
 * that the root of the part below it (`below`, its upper) has now; returns its directory. It appears whole. What
 * a killed rebase left under the number is removed; throws while an overlay has that as its upper. Not synced.
 */
export function makePart(store: Store, directory: string, number: number, below: string): string {
  const place = partDirectory(directory, number);
  mkdirMaybe(`${directory}/parts`, 0o700);
  using staging = makeStaging(store);
  mkdirat(AT_FDCWD, `${staging.path}/upper`, 0o700);
  mkdirat(AT_FDCWD, `${staging.path}/work`, 0o700);
  copyAttributes(below, `${staging.path}/upper`);
  // files that come to it later may be copies of the base's: their inode numbers in a listing are to be looked up
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
