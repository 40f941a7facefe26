/** Roots that would lead a runtime astray. */
import { VeneerError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { S_IFLNK } from "../sys/flags.ts";
import { isType, lstatMaybe } from "../sys/stat.ts";

/** Throws when one of these entries of `root` is a symbolic link, which only a container can have made. */
export function refuseLinks(root: Fd, names: readonly string[]): void {
  for (const name of names) {
    if (!isType(lstatMaybe(name, root.number), S_IFLNK)) continue;
    throw new VeneerError("LINKED_ROOT", `/${name} is a symbolic link in the root`, {
      hint: "a container put it into the instance's upper: see 'veneer diff ID'",
    });
  }
}
