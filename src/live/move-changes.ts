/**
 * Moves the container's changes into the part that its new root writes to: each entry of the old upper's root is
 * renamed, with everything below it. So hard links stay one file, directories of the container's own can be renamed,
 * inode numbers stay, and an open file is the same file for every process. Both stacks show the same tree at every
 * moment, and the old overlay still reaches what it has looked up (its dentries move with the directories).
 *
 * A process that has the root of the old overlay as a directory looks names up there, and would miss what has moved.
 * Where there is such a process in a namespace that the switch does not reach, everything stays in the old upper,
 * which becomes a layer.
 */
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat, rename, syncfs, uniqueSuffix } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, RENAME_NOREPLACE } from "../sys/flags.ts";
import { canAttachBeneath } from "../sys/mount.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { gone, namespaceOf } from "../sys/process/processes.ts";
import { fstat, list, lstatMaybe, setTime } from "../sys/stat.ts";
import { copyAttributes } from "../trees/copy-attributes.ts";
import type { LiveContainer } from "./inspect.ts";
import { lookPatiently } from "./look.ts";

/** The most entries of a root that are moved while its container is frozen: 0.1 ms each on a busy machine. */
const MOST = 1024;

/** Why an entry stays where it is: it is immutable, has another project's quota, or its name is taken. */
const STAYS = ["EPERM", "EXDEV", "EEXIST", "EBUSY"] as const;

/**
 * Moves all entries of `from`, the root of an upper, to `to`, which also gets its attributes. Returns why an entry
 * could not be moved; that entry and those after it are still in `from`.
 */
export function moveChanges(from: Fd, to: Fd, pace: () => void = () => {}): string | undefined {
  copyAttributes(`${from.path}/.`, `${to.path}/.`);
  const stayed = moveEntries(from, to, pace);
  return stayed === undefined ? undefined : `/${stayed.name} cannot be moved (${stayed.code})`;
}

/**
 * Undoes {@link moveChanges}, in whole or in part. Where the container has made a file of the same name meanwhile
 * (the watchdog thawed it), the entry that returns gets another name.
 */
export function moveBack(from: Fd, to: Fd): void {
  const { mtime } = fstat(from.number);
  for (const name of list(".", to.number)) {
    if (tryMove(to, from, name) === "EEXIST") {
      rename(name, `${name}.${uniqueSuffix()}`, RENAME_NOREPLACE, to.number, from.number);
    }
  }
  setTime(".", mtime, from.number);
}

function moveEntries(from: Fd, to: Fd, pace: () => void) {
  const { mtime } = fstat(from.number);
  try {
    for (const name of list(".", from.number)) {
      pace();
      const code = tryMove(from, to, name);
      if (code !== undefined) return { name, code };
    }
    return undefined;
  } finally {
    for (const root of [from, to]) setTime(".", mtime, root.number);
  }
}

function tryMove(from: Fd, to: Fd, name: string): string | undefined {
  try {
    rename(name, name, RENAME_NOREPLACE, from.number, to.number);
    return undefined;
  } catch (error) {
    const code = STAYS.find((one) => isErrno(error, one));
    if (code === undefined) throw error;
    return code;
  }
}

/** Why a container's changes have to stay in its old upper, as far as this can be seen beforehand. */
export function whyNotMoved(container: LiveContainer, upper: Fd): string | undefined {
  const { bound, copies, rootIds } = container;
  const whole = copies.length > 0 || bound.some(({ root }) => root === "/");
  if (whole && !canAttachBeneath()) return "copies of its root cannot be switched before Linux 6.5";
  const pid = holderOfRoot(container, rootIds.devices);
  if (pid !== undefined)
    return `process ${pid}, ${lookPatiently.commands([pid])(pid)}, has a copy of the root that stays`;
  const count = list(".", upper.number).length;
  return count > MOST ? `its root has ${count} entries of its own` : undefined;
}

/** A process in a further mount namespace that has the root of one of the overlays, and will keep it. */
function holderOfRoot({ init, copies, members }: LiveContainer, devices: ReadonlySet<string>) {
  const exchanged = new Set(
    [init, ...copies.map((copy) => copy.init)].map(({ pid }) => namespaceOf(pid, "mnt")),
  );
  return members.pids.find((pid) => {
    if (exchanged.has(namespaceOf(pid, "mnt"))) return false;
    const mounts = parseMountinfo(gone(() => readMountinfo(pid)) ?? "");
    return mounts.some(({ device, root }) => root === "/" && devices.has(device));
  });
}

/**
 * {@link moveBack} by path. The result is on disk on return, so that the definition, which no longer names `to`, can
 * be written after it. Does nothing where `to` does not exist.
 */
export function moveBackDurably(from: string, to: string): void {
  if (!lstatMaybe(to)) return;
  using source = openat(AT_FDCWD, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  using target = openat(AT_FDCWD, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  moveBack(source, target);
  syncfs(source.number, from);
}
