/** Finds marks of another overlay in a directory that is to be a layer in place, where overlayfs would obey them. */
import { MAX_DEPTH } from "../overlay/walk.ts";
import { overlayXattr } from "../overlay/xattrs.ts";
import { ifStillThere } from "../sys/errno.ts";
import { openat } from "../sys/fd.ts";
import { AT_FDCWD, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFCHR, S_IFDIR, S_IFREG } from "../sys/flags.ts";
import { fstat, isType, listFd, listxattr, lstatMaybe, type Stat } from "../sys/stat.ts";

/**
 * Returns the relative paths of entries that containers could neither read nor remove: whiteouts (0/0 character
 * devices, files with `overlay.whiteout`) and files whose content is elsewhere (`overlay.metacopy`). `without`:
 * relative paths to skip with everything below. Others may write to the tree in the meantime; entries that disappear
 * are skipped. Does not search below MAX_DEPTH. Throws SysError.
 */
export function overlayMarks(directory: string, without: ReadonlySet<string>): string[] {
  const found: string[] = [];
  const attributes = [overlayXattr("whiteout"), overlayXattr("metacopy")];
  using root = openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
  const { mountId } = fstat(root.number);
  const isMarked = (stat: Stat, at: string) => {
    if (isType(stat, S_IFCHR)) return stat.rdevMajor === 0 && stat.rdevMinor === 0;
    return isType(stat, S_IFREG) && listxattr(at).some((name) => attributes.includes(name));
  };
  const look = (dir: number, name: string, path: string, depth: number) => {
    const stat = lstatMaybe(name, dir);
    if (!stat || stat.mountId !== mountId) return;
    if (isMarked(stat, `/proc/self/fd/${dir}/${name}`)) found.push(path);
    if (!isType(stat, S_IFDIR) || depth > MAX_DEPTH) return;
    using inner = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    descend(inner.number, `${path}/`, depth + 1);
  };
  const descend = (dir: number, prefix: string, depth: number) => {
    for (const name of listFd(dir, prefix)) {
      if (without.has(prefix + name)) continue;
      ifStillThere(() => look(dir, name, prefix + name, depth));
    }
  };
  descend(root.number, "", 0);
  return found;
}
