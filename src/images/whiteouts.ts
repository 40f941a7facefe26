/**
 * The layer of an image, as tar unpacked it, to the form of overlayfs: `.wh.NAME` becomes a 0/0 character
 * device, `.wh..wh..opq` an opaque directory (layer.md of the image specification, "Whiteouts").
 */
import { VeneerError } from "../errors.ts";
import { isOpaque, makeWhiteout, markOpaque } from "../overlay/marks.ts";
import { directoryFact, lookup } from "../overlay/merged-lookup.ts";
import type { DirectoryFact } from "../overlay/upper-entries.ts";
import { type Entry, walk } from "../overlay/walk.ts";
import { removeTree } from "../store/trash.ts";
import { type Fd, fchmodat, fchownat, openDirectory, unlink } from "../sys/fd.ts";
import { AT_SYMLINK_NOFOLLOW, S_IFDIR } from "../sys/flags.ts";
import { fstat, isType, lstatMaybe, type Stat, setTime, setxattr } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";

export const WHITEOUT_PREFIX = ".wh.";
export const OPAQUE_MARKER = ".wh..wh..opq";

/**
 * Translates all markers below `tree`, by descriptor, without following a symbolic link. What the same layer
 * has under the name of a whiteout stays: a whiteout is about the layers below. Times of directories stay.
 * Returns the directories of the group `implied`, which tar made for want of an entry, parents first, `.` for the
 * root.
 */
export function translateWhiteouts(tree: string, impliedGid: number | undefined): string[] {
  using root = openDirectory(tree);
  const implied = fstat(root.number).gid === impliedGid ? ["."] : [];
  walk(tree, (entry) => {
    if (entry.name.startsWith(WHITEOUT_PREFIX)) {
      keepingTime(entry.dir, () => translate(entry));
      return false;
    }
    if (entry.stat.gid === impliedGid && isType(entry.stat, S_IFDIR)) implied.push(entry.path);
    return true;
  });
  return implied;
}

function translate({ name, path, stat, dir }: Entry): void {
  if (isType(stat, S_IFDIR)) removeTree(name, undefined, dir);
  else unlink(name, dir);
  if (name === OPAQUE_MARKER) markOpaque(`/proc/self/fd/${dir}/.`);
  // aufs kept files of its own under such names; no other file can have one
  if (name.startsWith(`${WHITEOUT_PREFIX}${WHITEOUT_PREFIX}`)) return;
  const hidden = name.slice(WHITEOUT_PREFIX.length);
  if (hidden === "" || hidden === "." || hidden === "..") {
    throw new VeneerError("BAD_IMAGE", `the layer has a whiteout of nothing: ${quote(path)}`);
  }
  const own = lstatMaybe(hidden, dir);
  if (isType(own, S_IFDIR)) markOpaque(`/proc/self/fd/${dir}/${hidden}`);
  if (own) return;
  makeWhiteout(dir, hidden);
  setTime(hidden, stat.mtime, dir);
}

function keepingTime(dir: number, change: () => void): void {
  const { mtime } = fstat(dir);
  change();
  setTime(".", mtime, dir);
}

/**
 * Gives directories without an entry of their own what the layers below (top first) have there, since a
 * merged directory shows its topmost layer's attributes.
 */
export function completeDirectories(tree: string, implied: readonly string[], below: readonly Fd[]): void {
  using root = openDirectory(tree);
  for (const path of implied) {
    const fact = lowerDirectory(path, below);
    fchownat(root.number, path, fact?.uid ?? 0, fact?.gid ?? 0, AT_SYMLINK_NOFOLLOW);
    fchmodat(root.number, path, (fact?.mode ?? 0o755) & 0o7777);
    for (const [name, value] of fact?.xattrs ?? []) setxattr(`${root.path}/${path}`, name, value);
    setTime(path, fact?.mtime ?? EPOCH, root.number);
  }
}

const EPOCH: Stat["mtime"] = { seconds: 0n, nanoseconds: 0 };

function lowerDirectory(path: string, below: readonly Fd[]): DirectoryFact | undefined {
  const [top] = below;
  if (!top) return undefined;
  return path === "." ? directoryFact(".", fstat(top.number), top) : lookup(below, path).directory;
}

/** Whether a layer hides everything below it: its root is opaque, which overlayfs itself does not heed. */
export function isBottom(tree: string): boolean {
  return isOpaque(`${tree}/.`);
}
