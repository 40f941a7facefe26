/** Completes a layer: converts markers to the form of overlayfs and sets the attributes of directories. */

import { makeWhiteout, markOpaque } from "../overlay/marks.ts";
import { directoryFact } from "../overlay/merged-lookup.ts";
import type { Fd } from "../sys/fd.ts";
import { fstat, lstatMaybe, setTime } from "../sys/stat.ts";
import { type Attributes, setEntryAttributes } from "../trees/entry-attributes.ts";
import type { BuildOptions } from "./build-options.ts";
import type { DirectoryNode } from "./directory-node.ts";
import { lookBelow, makeImplied, merging } from "./merged-path.ts";

/** The attributes of a directory that neither the archive nor a layer below has. */
const PLAIN: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0n, nanoseconds: 0 },
  xattrs: new Map(),
};

/**
 * Applies whiteouts to the layers below, wherever in the archive they are. A name that no layer below shows gets no
 * whiteout, because in a directory that overlayfs does not merge it would show as a device. A directory of this layer
 * under a whiteout becomes opaque. Returns whether the result depends on the layers below.
 */
export async function finishLayer(tree: Fd, root: DirectoryNode, options: BuildOptions): Promise<boolean> {
  const depends = dependsOnBelow(root);
  finishDirectory(tree, root, depends ? await options.below() : [], options);
  return depends;
}

function dependsOnBelow(node: DirectoryNode): boolean {
  if (!node.attributes || node.whiteouts) return true;
  for (const child of node.children.values()) if (dependsOnBelow(child)) return true;
  return false;
}

function finishDirectory(tree: Fd, node: DirectoryNode, below: readonly Fd[], options: BuildOptions): void {
  const lower = merging(node, below);
  if (node.opaque && (node.exists || lower.length > 0)) {
    makeImplied(tree, node);
    markOpaque(`${tree.path}/${node.path}`);
  }
  const names = node.whiteouts;
  delete node.whiteouts;
  for (const [name, time] of names ?? []) {
    const child = node.children.get(name);
    const at = node.pathOf(name);
    if (child?.exists) {
      child.opaque = true;
      child.lower = [];
    } else if (!node.exists || !lstatMaybe(at, tree.number)) {
      // the markers in it were applied already
      node.children.delete(name);
      if (!lookBelow(node, name, below)) continue;
      makeImplied(tree, node);
      makeWhiteout(tree.number, at);
      setTime(at, time, tree.number);
    }
  }
  for (const child of node.children.values()) finishDirectory(tree, child, below, options);
  if (!node.exists) return;
  const attributes = node.attributes ?? attributesBelow(node, lower) ?? plain(node);
  setEntryAttributes(tree.number, node.path, `${tree.path}/${node.path}`, node.path, attributes, {
    ...options,
    type: "directory",
  });
}

function plain({ inheritedGroup }: DirectoryNode): Attributes {
  return inheritedGroup === undefined ? PLAIN : { ...PLAIN, mode: 0o2755, gid: inheritedGroup };
}

/** The attributes that a merged directory shows without this layer: those in the topmost layer below. */
function attributesBelow(node: DirectoryNode, lower: readonly Fd[]): Attributes | undefined {
  const top = lower[0];
  const stat = top && (node.parent ? lstatMaybe(node.path, top.number) : fstat(top.number));
  if (!top || !stat) return undefined;
  const fact = directoryFact(node.path, stat, top);
  return { ...fact, mode: fact.mode & 0o7777 };
}
