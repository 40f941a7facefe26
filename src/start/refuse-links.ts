/** Refuses roots whose links would redirect a runtime. */
import { VeneerError } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import { S_IFLNK } from "../sys/flags.ts";
import { isType, lstatMaybe } from "../sys/stat.ts";
import type { Operation } from "./operations.ts";

/**
 * Throws when one of these entries of `root` is a symbolic link, from the base or created by a container.
 */
export function refuseLinks(root: Fd, { names, ...of }: Operation & { op: "refuse-links" }): void {
  for (const name of names) {
    if (!isType(lstatMaybe(name, root.number), S_IFLNK)) continue;
    const { base, upper, instance } = of;
    if (upper !== undefined && lstatMaybe(`${upper}/${name}`)) {
      throw new VeneerError(
        "LINKED_ROOT",
        `/${name} is a symbolic link in the upper of instance ${instance}`,
        {
          hint: `a container made it: see 'veneer diff ${instance}'`,
        },
      );
    }
    throw new VeneerError("LINKED_ROOT", `/${name} is a symbolic link in base ${base}`, {
      hint: `a runtime would follow it on the host: make a directory of it, in 'veneer base edit ${base.replace(/@.*/, "")}'`,
    });
  }
}
