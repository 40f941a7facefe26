/**
 * Resolves directories in a layer that is being built, as they will show over the layers below. Follows symbolic links
 * of all layers, inside the root.
 */
import { VeneerError } from "../errors.ts";
import { type Found, lookupName } from "../overlay/merged-lookup.ts";
import { type Fd, mkdirat, readlink } from "../sys/fd.ts";
import { S_IFDIR, S_IFLNK } from "../sys/flags.ts";
import { isType, lstatMaybe } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import type { DirectoryNode } from "./directory-node.ts";

/** the number of symbolic links that the kernel follows in one path (path_resolution(7)) */
export const MAX_LINKS = 40;

/**
 * Resolves `path` from `root` to a directory. With `create`, creates missing directories in the layer's own tree (open
 * as `tree`), without attributes for now; otherwise returns undefined when there is none. `below` are the layers below,
 * top first. Throws BAD_IMAGE when the path leads through a file of this layer or through too many symbolic links.
 */
export function resolveDirectory(
  tree: Fd,
  root: DirectoryNode,
  path: string,
  below: readonly Fd[],
  create: boolean,
): DirectoryNode | undefined {
  let rest = parts(path);
  let node = root;
  for (let links = 0, index = 0; index < rest.length; index++) {
    const name = rest[index] as string;
    if (name === "..") {
      node = node.parent ?? root;
      continue;
    }
    const known = node.children.get(name);
    if (known?.exists) {
      node = known;
      continue;
    }
    const at = node.pathOf(name);
    const own = node.exists ? lstatMaybe(at, tree.number) : undefined;
    const found = own ? undefined : lookBelow(node, name, below);
    const stat = own ?? found?.stat;
    if (isType(stat, S_IFLNK)) {
      if (++links > MAX_LINKS)
        throw new VeneerError("BAD_IMAGE", `too many symbolic links on the way to ${quote(path)}`);
      const target = readlink(at, own ? tree.number : found?.layers[0]?.number) ?? "";
      if (target.startsWith("/")) node = root;
      rest = [...parts(target), ...rest.slice(index + 1)];
      index = -1;
      continue;
    }
    if (own)
      throw new VeneerError("BAD_IMAGE", `the layer has ${quote(path)} below ${quote(at)}, which is a file`);
    const isDirectory = isType(stat, S_IFDIR);
    if (!isDirectory && !create) return undefined;
    const child = node.child(name);
    child.lower ??= isDirectory ? (found as Found).layers : [];
    const group = isDirectory ? undefined : inheritedGroup(node, below);
    if (group !== undefined) child.inheritedGroup = group;
    if (create) makeImplied(tree, child);
    node = child;
  }
  if (create) makeImplied(tree, node);
  return node;
}

/** The group that a set-group-ID directory gives to new entries (inode(7)). */
function inheritedGroup(node: DirectoryNode, below: readonly Fd[]): number | undefined {
  if (!node.attributes && node.inheritedGroup !== undefined) return node.inheritedGroup;
  const top = node.attributes ? undefined : merging(node, below)[0];
  const { mode, gid } = node.attributes ?? (top && lstatMaybe(node.path, top.number)) ?? { mode: 0, gid: 0 };
  return mode & 0o2000 ? gid : undefined;
}

/** Creates a directory that has no entry of its own, and its parents. Idempotent. */
export function makeImplied(tree: Fd, node: DirectoryNode): void {
  if (node.exists) return;
  if (node.parent) makeImplied(tree, node.parent);
  mkdirat(tree.number, node.path, 0o700);
  node.exists = true;
}

/** Looks up a name of a directory in the layers below, as far as the markers so far do not hide it. */
export function lookBelow(node: DirectoryNode, name: string, below: readonly Fd[]): Found | undefined {
  if (node.whiteouts?.has(name)) return undefined;
  return lookupName(contributors(node, below), node.pathOf(name));
}

/** The directories of layers below whose contents show in a directory, top first. */
function contributors(node: DirectoryNode, below: readonly Fd[]): readonly Fd[] {
  return node.opaque ? [] : merging(node, below);
}

/** The directories of layers below that merge with a directory, top first, regardless of its opaque marker. */
export function merging(node: DirectoryNode, below: readonly Fd[]): readonly Fd[] {
  const { parent } = node;
  if (!parent) return below;
  const around = contributors(parent, below);
  if (around.length === 0 || parent.whiteouts?.has(node.name)) return [];
  if (!node.lower) {
    const found = lookupName(around, node.path);
    node.lower = isType(found?.stat, S_IFDIR) ? (found as Found).layers : [];
  }
  return node.lower;
}

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}
