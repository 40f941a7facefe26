/** Whether an upper is in use, according to the kernel. */
import { errno, isErrno } from "../../sys/errno.ts";
import { type Fd, openDirectory } from "../../sys/fd.ts";
import { fsopen, setOption, tryCreate } from "../../sys/mount.ts";
import { sleep } from "../../sys/self.ts";
import { list, lstatMaybe } from "../../sys/stat.ts";

/**
 * Whether any overlay in any mount namespace has this upper. Overlayfs marks the upper of every live superblock, and
 * with index=on it refuses a marked one with EBUSY before it looks at the work directory
 * (Documentation/filesystems/overlayfs.rst, "Sharing and copying layers"). The attempt names the upper as its own work
 * directory, so it fails in any case before anything is written. A process that may not mount cannot ask the kernel:
 * for it the upper counts as in use, and code that acts on the answer in a user namespace asks again there.
 */
export function isUpperInUse(upper: string): boolean {
  if (!lstatMaybe(upper)) return false;
  using context = openContext();
  if (!context) return true;
  using directory = openDirectory(upper);
  for (const [key, value] of [
    ["index", "on"],
    ["lowerdir", "/"],
    ["upperdir", directory.path],
    ["workdir", directory.path],
  ] as const) {
    if (setOption(context, key, value) < 0) return true;
  }
  return tryCreate(context) === -(errno.EBUSY as number);
}

function openContext(): Fd | undefined {
  try {
    return fsopen("overlay");
  } catch (error) {
    if (isErrno(error, "EPERM")) return undefined;
    throw error;
  }
}

/**
 * The directories of all parts of a generation or ephemeral upper, in use or left behind, part 0 first. Reads the disk
 * because a part may still be in use by an overlay after a live rebase without being named in the definition.
 */
export function partsOnDisk(directory: string): string[] {
  const inner = `${directory}/parts`;
  const names = lstatMaybe(inner) ? list(inner).filter((name) => !name.startsWith("masks-")) : [];
  return [directory, ...names.map((name) => `${inner}/${name}`)];
}

/** Whether any overlay has one of the uppers of {@link partsOnDisk}. */
export function isAnyPartInUse(directory: string, isInUse = isUpperInUse): boolean {
  return partsOnDisk(directory).some((part) => isInUse(`${part}/upper`));
}

/** Waits until no overlay has this upper; returns false when one still has it after `milliseconds`. */
export function waitUntilFree(upper: string, milliseconds: number): boolean {
  for (const end = Date.now() + milliseconds; isUpperInUse(upper); sleep(2)) {
    if (Date.now() > end) return false;
  }
  return true;
}
