/** The directories of a layer that is being built, with what markers say about them. */
import type { Fd } from "../sys/fd.ts";
import type { Attributes } from "../trees/entry-attributes.ts";

export class DirectoryNode {
  readonly children = new Map<string, DirectoryNode>();
  /** it is in the tree of this layer; otherwise only layers below have it, and a marker names something in it */
  exists = false;
  /** the attributes of its entry; absent: the layer has no entry for it, and the attributes of the layers below show */
  attributes?: Attributes;
  /** without an entry here or below, in a set-group-ID directory: the group that mkdir(2) gives it */
  inheritedGroup?: number;
  /** it hides the contents of the layers below */
  opaque = false;
  /** names of layers below that are deleted in it, with the times of their markers */
  whiteouts?: Map<string, Attributes["mtime"]>;
  /** directories of layers below that merge with it, top first, regardless of markers; absent: not looked up yet */
  lower?: readonly Fd[];

  private constructor(
    /** relative to the root, without symbolic links; `.` for the root */
    readonly path: string,
    readonly name: string,
    readonly parent: DirectoryNode | undefined,
  ) {}

  static root(): DirectoryNode {
    const root = new DirectoryNode(".", ".", undefined);
    root.exists = true;
    return root;
  }

  /** The path of an entry in this directory. */
  pathOf(name: string): string {
    return this.parent ? `${this.path}/${name}` : name;
  }

  child(name: string): DirectoryNode {
    let child = this.children.get(name);
    if (!child) {
      child = new DirectoryNode(this.pathOf(name), name, this);
      this.children.set(name, child);
    }
    return child;
  }

  addWhiteout(name: string, time: Attributes["mtime"]): void {
    this.whiteouts ??= new Map();
    this.whiteouts.set(name, time);
  }
}
