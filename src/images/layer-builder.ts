/**
 * (More than 250 lines: one class, whose parts share its state.)
 * Builds the tree of a layer from the entries of an archive, one by one, by descriptor (layer.md of the image
 * specification, "Applying Changesets"). Resolves paths inside the root, as the layers below and the entries applied so
 * far show it. A later entry replaces an earlier one; a directory over a directory changes only its attributes. Sets
 * the attributes of directories at the end, so that their modes and default ACLs do not affect the entries in them.
 */

import { VeneerError } from "../errors.ts";
import { removeTree } from "../store/trash.ts";
import { errno } from "../sys/errno.ts";
import { type Fd, linkat, openat2, openDirectory, rmdir, unlink, writeAll } from "../sys/fd.ts";
import { closeNumber, mkdirResult, mknodResult, openResult, symlinkResult } from "../sys/files/data.ts";
import {
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_WRONLY,
  RESOLVE_EXACT,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
} from "../sys/flags.ts";
import { check } from "../sys/libc.ts";
import { isType, list, lstatMaybe } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import type { TarEntry, TarReader } from "../tar/reader.ts";
import { quote } from "../text/quote.ts";
import { copyEntry } from "../trees/copy-entry.ts";
import { type Attributes, setEntryAttributes, setFileAttributes } from "../trees/entry-attributes.ts";
import type { BuildOptions } from "./build-options.ts";
import { DirectoryNode } from "./directory-node.ts";
import { cleanPath, device } from "./entry-path.ts";
import { finishLayer } from "./finish-layer.ts";
import { AUFS_LINKS, AUFS_PREFIX, OPAQUE_MARKER, WHITEOUT_PREFIX } from "./markers.ts";
import { lookBelow, MAX_LINKS, resolveDirectory } from "./merged-path.ts";
import { writeExtents } from "./write-extents.ts";

interface Place {
  readonly directory: DirectoryNode;
  readonly fd: Fd;
}

export class LayerBuilder implements Disposable {
  readonly #tree: Fd;
  readonly #root = DirectoryNode.root();
  readonly #options: BuildOptions;
  /** hard links whose target has not appeared yet, by path */
  readonly #waiting = new Map<
    string,
    { readonly place: DirectoryNode; readonly name: string; readonly target: string }
  >();
  /** files copied from layers below for a hard link: they are no entries of this layer, so markers remove them */
  readonly #copied = new Map<string, DirectoryNode>();
  /** the directory of the previous entry, open, because the next entry is usually in the same one */
  #last: (Place & { readonly path: string }) | undefined;
  #dependsOnBelow = false;
  #entries = 0;

  /** `tree` is an existing, empty directory. */
  constructor(tree: string, options: BuildOptions) {
    this.#tree = openDirectory(tree);
    this.#options = options;
  }

  [Symbol.dispose](): void {
    this.#last?.fd[Symbol.dispose]();
    this.#tree[Symbol.dispose]();
  }

  get entries(): number {
    return this.#entries;
  }

  /** Applies an entry. The reader skips whatever of the entry's data is not read here. Throws BAD_IMAGE, SysError. */
  async apply(entry: TarEntry, reader: TarReader): Promise<void> {
    this.#entries++;
    for (let count = 0; count < entry.unreadAcls; count++) this.#options.omissions.add("acl", entry.name);
    if (entry.unowned && !this.#options.squash) this.#options.omissions.add("owner", entry.name);
    const path = cleanPath(entry.name);
    const slash = path.lastIndexOf("/");
    const directory = slash < 0 ? "" : path.slice(0, slash);
    const name = path.slice(slash + 1);
    if (path === "") {
      if (entry.type !== "directory")
        throw new VeneerError("BAD_IMAGE", "the layer's root is not a directory");
      this.#root.attributes = attributesOf(entry);
      return;
    }
    if (this.#options.markers && path.includes(WHITEOUT_PREFIX) && !isAufsLink(path, entry)) {
      // ignore entries below a marker
      if (
        path
          .split("/")
          .slice(0, -1)
          .some((part) => part.startsWith(WHITEOUT_PREFIX))
      )
        return;
      if (name.startsWith(WHITEOUT_PREFIX)) return this.#mark(directory, name, entry);
    }
    const place = this.#placeNow(directory) ?? (await this.#place(directory));
    if (this.#waiting.size > 0) this.#waiting.delete(place.directory.pathOf(name));
    switch (entry.type) {
      case "file":
        return this.#makeFile(place, name, entry, reader);
      case "directory":
        return this.#makeDirectory(place, name, entry);
      case "hard link":
        if (!(await this.#link(place, name, entry.link))) {
          const at = place.directory.pathOf(name);
          this.#waiting.set(at, { place: place.directory, name, target: entry.link });
        }
        return;
      default:
        return this.#makeSpecial(place, name, entry);
    }
  }

  /**
   * Completes the layer: waiting hard links, markers, attributes of directories. Returns whether the tree depends on
   * the layers below, because it has directories without an entry of their own, or markers for names in those layers.
   */
  async finish(): Promise<{ readonly dependsOnBelow: boolean }> {
    // a link may lead through a waiting one that becomes a symbolic link: one round for each
    for (let left = -1, round = 0; this.#waiting.size !== left && round < MAX_LINKS; round++) {
      left = this.#waiting.size;
      for (const path of [...this.#waiting.keys()]) await this.#linkChain(path);
    }
    for (const [path, { target }] of this.#waiting) {
      throw new VeneerError(
        "BAD_IMAGE",
        `${quote(path)} is a hard link to ${quote(target)}, which is nowhere`,
      );
    }
    if (this.#root.children.get(AUFS_LINKS)?.exists && this.#options.markers)
      this.#clear(this.#root, this.#tree, AUFS_LINKS);
    const depends = await finishLayer(this.#tree, this.#root, this.#options);
    return { dependsOnBelow: depends || this.#dependsOnBelow };
  }

  /** Creates a waiting link after the links that it leads to; visits each once, however long the chain is. */
  async #linkChain(path: string): Promise<void> {
    const chain = new Set([path]);
    for (let next = await this.#targetOf(path); next !== undefined; next = await this.#targetOf(next)) {
      if (!this.#waiting.has(next) || chain.has(next)) break;
      chain.add(next);
    }
    for (const at of [...chain].reverse()) {
      const waiting = this.#waiting.get(at);
      if (!waiting) continue;
      using fd = this.#open(waiting.place);
      if (!(await this.#link({ directory: waiting.place, fd }, waiting.name, waiting.target))) return;
      this.#waiting.delete(at);
    }
  }

  /** The path of a waiting link's target in the tree; undefined when its directory does not exist. */
  async #targetOf(path: string): Promise<string | undefined> {
    const found = await this.#findTarget(this.#waiting.get(path)?.target ?? "");
    return found?.node.pathOf(found.last);
  }

  /** Resolves the target of a hard link to its directory and the name in it. */
  async #findTarget(link: string): Promise<{ node: DirectoryNode; last: string } | undefined> {
    const target = cleanPath(link);
    const slash = target.lastIndexOf("/");
    const parent = slash < 0 ? "" : target.slice(0, slash);
    const last = target.slice(slash + 1);
    const node =
      this.#nodeNow(parent) ?? resolveDirectory(this.#tree, this.#root, parent, await this.#below(), false);
    return node && last !== "" ? { node, last } : undefined;
  }

  #below(): Promise<readonly Fd[]> {
    this.#dependsOnBelow = true;
    return this.#options.below();
  }

  /** The directory at a path within this layer, without following symbolic links. */
  #nodeNow(path: string): DirectoryNode | undefined {
    let node: DirectoryNode | undefined = this.#root;
    if (path !== "") for (const part of path.split("/")) node = node?.children.get(part);
    return node?.exists ? node : undefined;
  }

  #placeNow(path: string): Place | undefined {
    if (this.#last?.path === path && this.#last.directory.exists) return this.#last;
    const directory = this.#nodeNow(path);
    return directory && this.#remember(path, directory);
  }

  async #place(path: string): Promise<Place> {
    const directory = resolveDirectory(this.#tree, this.#root, path, await this.#below(), true);
    return this.#remember(path, directory as DirectoryNode);
  }

  #remember(path: string, directory: DirectoryNode): Place {
    this.#last?.fd[Symbol.dispose]();
    this.#last = undefined;
    this.#last = { path, directory, fd: this.#open(directory) };
    return this.#last;
  }

  #open(directory: DirectoryNode): Fd {
    const flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
    return openat2(this.#tree.number, directory.path, flags, RESOLVE_EXACT);
  }

  async #mark(directory: string, name: string, entry: TarEntry): Promise<void> {
    if (name !== OPAQUE_MARKER && name.startsWith(AUFS_PREFIX)) return;
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw new VeneerError("BAD_IMAGE", `the layer has a whiteout of nothing: ${quote(entry.name)}`);
    }
    const node =
      this.#nodeNow(directory) ??
      resolveDirectory(this.#tree, this.#root, directory, await this.#below(), false);
    // a directory that does not exist has nothing to delete
    if (!node) return;
    if (name === OPAQUE_MARKER) node.opaque = true;
    else node.addWhiteout(hidden, entry.mtime);
    if (this.#copied.size === 0) return;
    if (name === OPAQUE_MARKER) this.#forgetCopies(`${node.path}/`);
    else this.#forgetCopies(node.pathOf(hidden));
  }

  /** Removes files copied for hard links at or below `top`, and the directories that were created only for them. */
  #forgetCopies(top: string): void {
    const isThere = (path: string) => path === top || path.startsWith(top.endsWith("/") ? top : `${top}/`);
    const tree = this.#tree.number;
    for (const [path, holder] of this.#copied) {
      if (!isThere(path)) continue;
      this.#copied.delete(path);
      unlink(path, tree);
      for (let node = holder; node.parent && isThere(node.path); node = node.parent) {
        if (node.attributes || list(node.path, tree).length > 0) break;
        rmdir(node.path, tree);
        node.exists = false;
        node.parent.children.delete(node.name);
      }
    }
  }

  async #makeFile(
    { directory, fd: dir }: Place,
    name: string,
    entry: TarEntry,
    reader: TarReader,
  ): Promise<void> {
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    let fd = openResult(dir.number, name, flags, 0o600);
    if (fd === -(errno.EEXIST as number)) {
      this.#clear(directory, dir, name);
      fd = openResult(dir.number, name, flags, 0o600);
    }
    check(fd, "open", entry.name);
    try {
      if (entry.extents) await writeExtents(fd, entry, reader);
      else {
        const write = (piece: Uint8Array) => writeAll(fd, piece, entry.name);
        if (!reader.passNow(write)) await reader.pass(write);
      }
      setFileAttributes(fd, entry.name, entry, this.#options);
    } finally {
      closeNumber(fd);
    }
  }

  #makeDirectory({ directory, fd }: Place, name: string, entry: TarEntry): void {
    let node = directory.children.get(name);
    if (!node?.exists) {
      const made = mkdirResult(fd.number, name, 0o700);
      node = directory.child(name);
      if (made === -(errno.EEXIST as number)) {
        // the file that it replaces hid everything that layers below have here
        this.#copied.delete(directory.pathOf(name));
        unlink(name, fd.number);
        check(mkdirResult(fd.number, name, 0o700), "mkdir", entry.name);
        node.opaque = true;
      } else check(made, "mkdir", entry.name);
      node.exists = true;
    }
    node.attributes = attributesOf(entry);
  }

  #makeSpecial({ directory, fd }: Place, name: string, entry: TarEntry): void {
    const { type, major, minor, link } = entry;
    if (type === "symbolic link" && link === "")
      throw new VeneerError("BAD_IMAGE", `${quote(entry.name)} is a symbolic link to nothing`);
    if (type === "character device" && major === 0 && minor === 0) {
      this.#options.omissions.add("overlay whiteout", entry.name);
      return;
    }
    if (type !== "fifo" && type !== "symbolic link" && inUserNamespace()) {
      this.#options.omissions.add("device", entry.name);
      return;
    }
    const make = () => {
      if (type === "symbolic link") {
        return symlinkResult(link, fd.number, name);
      }
      const kind = type === "fifo" ? S_IFIFO : type === "block device" ? S_IFBLK : S_IFCHR;
      return mknodResult(fd.number, name, kind | 0o600, device(major, minor));
    };
    let made = make();
    if (made === -(errno.EEXIST as number)) {
      this.#clear(directory, fd, name);
      made = make();
    }
    check(made, type === "symbolic link" ? "symlink" : "mknod", entry.name);
    setEntryAttributes(fd.number, name, `${fd.path}/${name}`, entry.name, entry, {
      ...this.#options,
      type: type === "symbolic link" ? type : "other",
    });
  }

  /** Creates a hard link; returns false when the target does not exist yet. */
  async #link({ directory, fd }: Place, name: string, link: string): Promise<boolean> {
    const found = await this.#findTarget(link);
    if (!found) return false;
    const { node, last } = found;
    const from = node.pathOf(last);
    if (node === directory && last === name && lstatMaybe(name, fd.number)) return true;
    if (!node.exists || !lstatMaybe(from, this.#tree.number)) {
      const below = await this.#below();
      const found = lookBelow(node, last, below);
      if (!found || isType(found.stat, S_IFDIR)) return false;
      const lower = found.layers[0] as Fd;
      // both names must be one file, so copy the lower one into this layer, as a copy-up does
      resolveDirectory(this.#tree, this.#root, node.path, below, true);
      copyEntry(lower, from, this.#tree, from, this.#options);
      this.#copied.set(from, node);
    }
    if (node.children.get(last)?.exists) {
      throw new VeneerError(
        "BAD_IMAGE",
        `${quote(directory.pathOf(name))} is a hard link to the directory ${quote(link)}`,
      );
    }
    let made = linkat(this.#tree.number, from, fd.number, name);
    if (made === -(errno.EEXIST as number)) {
      this.#clear(directory, fd, name);
      made = linkat(this.#tree.number, from, fd.number, name);
    }
    // the file has reached the link limit of the file system: this name gets a file of its own
    if (made === -(errno.EMLINK as number))
      copyEntry(this.#tree, from, this.#tree, directory.pathOf(name), this.#options);
    else check(made, "link", `${directory.pathOf(name)} -> ${link}`);
    return true;
  }

  /** Removes what this layer has under a name, to make room for another entry. */
  #clear(directory: DirectoryNode, fd: Fd, name: string): void {
    const node = directory.children.get(name);
    const path = directory.pathOf(name);
    for (const at of this.#copied.keys())
      if (at === path || at.startsWith(`${path}/`)) this.#copied.delete(at);
    if (node?.exists || isType(lstatMaybe(name, fd.number), S_IFDIR)) {
      removeTree(name, undefined, fd.number);
      if (node) forget(node);
      directory.children.delete(name);
    } else unlink(name, fd.number);
  }
}

/** Whether an entry is a file that aufs kept for its hard links, or the directory of these. */
function isAufsLink(path: string, { type }: TarEntry): boolean {
  return path === AUFS_LINKS ? type === "directory" : type === "file" && path.startsWith(`${AUFS_LINKS}/`);
}

function forget(node: DirectoryNode): void {
  node.exists = false;
  for (const child of node.children.values()) forget(child);
}

function attributesOf({ mode, uid, gid, mtime, xattrs }: TarEntry): Attributes {
  return { mode, uid, gid, mtime, xattrs };
}
