/** Owners of what is imported by a user without root, who has some ids in a user namespace and no others. */
import { VeneerError } from "../errors.ts";
import { walk } from "../overlay/walk.ts";
import type { Progress } from "../process/progress.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { inUserNamespace, readIdMap } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";

export interface ImportOptions {
  readonly progress: Progress;
  readonly note: (line: string) => void;
  /** every file becomes root's, whatever the source says */
  readonly squash?: boolean;
  /** publish a version though it shows the same as the current one */
  readonly always?: boolean;
  /** a layer with the whole tree, though little differs from the current version */
  readonly whole?: boolean;
  /** the version before stays the current one */
  readonly candidate?: boolean;
}

/** What files of ids that the namespace does not have belong to in it (/proc/sys/kernel/overflowuid). */
const NOBODY = 65534;

/** Refuses an import that keeps owners where there is but one id. */
export function requireOwners(squash = false): void {
  if (squash || !inUserNamespace()) return;
  const ids = (kind: "uid" | "gid") => readIdMap(kind).reduce((sum, { count }) => sum + count, 0);
  if (ids("uid") > 1 && ids("gid") > 1) return;
  throw new VeneerError("NO_SUBUIDS", "owners cannot be kept: this user has no ids beside its own", {
    hint: "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER (a range of nobody else's), and newuidmap (Debian: uidmap); or --squash gives every file to root",
  });
}

/**
 * Refuses a directory with files of others: in the namespace they seem to be nobody's, and that is what a copy
 * would make them.
 */
export function refuseForeignOwners(directory: string): void {
  if (!inUserNamespace()) return;
  const isForeign = ({ uid, gid }: { uid: number; gid: number }) => uid === NOBODY || gid === NOBODY;
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

const LAST_GID = 0xfffffffd;

/** A group that no file of an image has: in a user namespace the last one; undefined where there is but one. */
export function spareGid(): number | undefined {
  if (!inUserNamespace()) return LAST_GID;
  const last = Math.max(...readIdMap("gid").map(({ inside, count }) => inside + count - 1));
  return last > 0 ? last : undefined;
}

/** What tar and cp say of device files, which nobody makes in a user namespace, and how tar ends after that. */
const NO_DEVICE =
  /: Cannot mknod: Operation not permitted$|: cannot create special file '.*': Operation not permitted$/;
const LAST_WORDS = /: Exiting with failure status due to previous errors$/;

/** For a program that unpacks: its complaints about devices are no failure; `note` is told how many there are. */
export function withoutDevices(note: (line: string) => void): {
  tolerate?: (lines: readonly string[]) => boolean;
} {
  if (!inUserNamespace()) return {};
  return {
    tolerate(lines) {
      const devices = lines.filter((line) => NO_DEVICE.test(line)).length;
      const others = lines.filter((line) => !NO_DEVICE.test(line) && !LAST_WORDS.test(line));
      if (devices === 0 || others.length > 0) return false;
      note(`veneer: ${devices} device files are left out: only root makes them`);
      return true;
    },
  };
}
