/** Owners in imports without root, where a user has only some ids in a user namespace. */
import { VeneerError } from "../errors.ts";
import { walk } from "../overlay/walk.ts";
import type { Progress } from "../process/progress.ts";
import type { FsIds } from "../sys/credentials.ts";
import { geteuid } from "../sys/process.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { inUserNamespace, overflowIds, ownRanges } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";

export interface ImportOptions {
  readonly progress: Progress;
  readonly note: (line: string) => void;
  /** root owns every file, whatever the source says */
  readonly squash?: boolean;
  /** publish a version even if it is equal to the current one */
  readonly always?: boolean;
  /** make a layer with the whole tree, even if little differs from the current version */
  readonly whole?: boolean;
  /** the previous version stays the current one */
  readonly candidate?: boolean;
  /** share equal files with other layers */
  readonly shareFiles?: boolean;
}

/** Throws NOT_ROOT for an import without root, and NO_SUBUIDS when owners are to be kept and there is only one id. */
export function requireOwners(squash = false): void {
  if (geteuid() !== 0) {
    throw new VeneerError("NOT_ROOT", "only root can keep owners, devices and capabilities", {
      hint: "run as root",
    });
  }
  if (squash || !inUserNamespace()) return;
  const ids = (kind: "uid" | "gid") => ownRanges(kind).reduce((sum, { size }) => sum + size, 0);
  if (ids("uid") > 1 && ids("gid") > 1) return;
  throw new VeneerError("NO_SUBUIDS", "owners cannot be kept: this user has no ids besides its own", {
    hint: "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER (a range that nobody else has), and newuidmap (Debian: uidmap); or --squash gives every file to root",
  });
}

/**
 * Throws FOREIGN_OWNERS for a directory with files of other users: in the user namespace they seem to belong to nobody,
 * and a copy would really belong to nobody.
 */
export function refuseForeignOwners(directory: string): void {
  if (!inUserNamespace()) return;
  const nobody = overflowIds();
  const isForeign = ({ uid, gid }: FsIds) => uid === nobody.uid || gid === nobody.gid;
  const refuse = (path: string) => {
    throw new VeneerError("FOREIGN_OWNERS", `${quote(path)} belongs to somebody else on this host`, {
      hint: "let root pack it: tar --numeric-owner --xattrs -C DIR -c . >FILE.tar, and import that; or --squash gives every file to root",
    });
  };
  const own = lstatMaybe(directory);
  if (own && isForeign(own)) refuse(directory);
  walk(directory, ({ path, stat }) => {
    if (isForeign(stat)) refuse(`${directory}/${path}`);
  });
}
