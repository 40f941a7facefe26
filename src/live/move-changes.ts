/**
 * What a container changed goes along into the part that its new root writes to: each entry of the old upper's root
 * is renamed, with all that is below it. So hard links stay one file, directories of the container's own can be renamed,
 * inode numbers stay, and what is open is the same file for all. Either stack shows the same at every moment, and the
 * old overlay reaches what it has looked up by now (its dentries move with the directories).
 *
 * A process that has the root of the old overlay as a directory looks names up there, and would miss what is gone:
 * where one does that the switchMounts does not reach, all stays in the old upper, which is a layer from then on.
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

/** Entries of a root that are moved while its container is paused: 0.1 ms each on a busy machine. */
const MOST = 1024;

/** Why an entry stays where it is: immutable, of another project's quota, or there is one of its name. */
const STAYS = ["EPERM", "EXDEV", "EEXIST", "EBUSY"] as const;

/**
 * Moves all entries of `from`, the root of an upper, to `to`, which gets its attributes. Returns why an entry could not
 * be moved: then it and those after it are in `from`.
 */
export function moveChanges(from: Fd, to: Fd, pace: () => void = () => {}): string | undefined {
  copyAttributes(`${from.path}/.`, `${to.path}/.`);
  const stayed = moveEntries(from, to, pace);
  return stayed === undefined ? undefined : `/${stayed.name} cannot be moved (${stayed.code})`;
}

/**
 * Undoes {@link moveChanges}, all or in part. Where the container has made a file of the same name meanwhile (the watchdog
 * let it go on), the one that comes back gets another name.
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

/** Why what a container changed has to stay in its old upper, as far as it can be told beforehand. */
export function whyNotMoved(container: LiveContainer, upper: Fd): string | undefined {
  const { bound, copies, rootIds } = container;
  const whole = copies.length > 0 || bound.some(({ root }) => root === "/");
  if (whole && !canAttachBeneath()) return "copies of its root cannot be exchanged before Linux 6.5";
  const pid = holderOfRoot(container, rootIds.devices);
  if (pid !== undefined)
    return `process ${pid}, ${lookPatiently.commands([pid])(pid)}, has a copy of the root that stays`;
  const count = list(".", upper.number).length;
  return count > MOST ? `its root has ${count} entries of its own` : undefined;
}

/** A process in a further mount namespace that has the root of one of the overlays and keeps it. */
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
 * {@link moveBack} by path, on disk when it returns: the definition that names `to` no more comes after it. Does nothing
 * where there is no `to`.
 */
export function moveBackDurably(from: string, to: string): void {
  if (!lstatMaybe(to)) return;
  using source = openat(AT_FDCWD, from, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  using target = openat(AT_FDCWD, to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  moveBack(source, target);
  syncfs(source.number, from);
}
