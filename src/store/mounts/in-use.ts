/** Whether an upper is in use: the kernel is asked. */
import { errno, isErrno } from "../../sys/errno.ts";
import { type Fd, openDirectory } from "../../sys/fd.ts";
import { fsopen, setOption, tryCreate } from "../../sys/mount.ts";
import { sleep } from "../../sys/self.ts";
import { list, lstatMaybe } from "../../sys/stat.ts";

/**
 * Whether any overlay in any mount namespace has this upper. Overlayfs marks the upper of every live
 * superblock, and with index=on refuses it with EBUSY before it looks at the work directory
 * (Documentation/filesystems/overlayfs.rst, "Sharing and copying layers"). The upper as its own work
 * directory lets the attempt fail in any case before anything is written. Who may not mount anywhere may not ask: then
 * it counts as in use, and whoever acts on that in a user namespace asks again there.
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
 * Directories of all parts below that of a generation or ephemeral upper, in use or left behind, itself first. A
 * part whose overlay lives on after a live rebase may be none of those that a definition names.
 */
export function partsOnDisk(directory: string): string[] {
  const inner = `${directory}/parts`;
  const names = lstatMaybe(inner) ? list(inner).filter((name) => !name.startsWith("masks-")) : [];
  return [directory, ...names.map((name) => `${inner}/${name}`)];
}

/** Waits until no overlay has this upper; false when one still has it after `milliseconds`. */
export function waitUntilFree(upper: string, milliseconds: number): boolean {
  for (const end = Date.now() + milliseconds; isUpperInUse(upper); sleep(2)) {
    if (Date.now() > end) return false;
  }
  return true;
}
