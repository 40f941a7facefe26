/** The directories of a layer that is being built, and what its markers say of them. */
import type { Fd } from "../sys/fd.ts";
import type { Attributes } from "../trees/entry-attributes.ts";

export class DirectoryNode {
  readonly children = new Map<string, DirectoryNode>();
  /** it is in the layer's own tree; else only layers below have it, and a marker is about something in it */
  exists = false;
  /** what its entry says; absent: it has none, and shows what layers below have */
  attributes?: Attributes;
  /** of one without an entry that no layer below has, in a set-group-ID directory: the group that mkdir(2) gives it */
  inheritedGroup?: number;
  /** nothing of layers below shows in it */
  opaque = false;
  /** names of layers below that are deleted in it, and when */
  whiteouts?: Map<string, Attributes["mtime"]>;
  /** directories of layers below that merge with it, top first, whatever markers say; absent: not looked up */
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

  /** The path of an entry of this directory. */
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
