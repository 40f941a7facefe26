/** Looks up paths in layers as overlayfs would merge them, without mounting. */

import { VeneerError } from "../errors.ts";
import { type Fd, readAll, readlink } from "../sys/fd.ts";
import { openRegular } from "../sys/files/regular.ts";
import { S_IFDIR, S_IFLNK } from "../sys/flags.ts";
import { fstat, isType, lgetxattr, list, listxattr, lstatMaybe, type Stat } from "../sys/stat.ts";
import { matchesGlob } from "../text/glob.ts";
import { isOpaque, isWhiteout } from "./marks.ts";
import type { DirectoryFact, PathFact, XattrMap } from "./upper-entries.ts";
import { isOverlayXattr } from "./xattrs.ts";

/** the number of links that the kernel follows in one path (path_resolution(7)) */
const MAX_LINKS = 40;

interface Step {
  readonly fact: DirectoryFact;
  /** the layers that are merged in this directory, top first */
  readonly layers: readonly Fd[];
}

/** Looks up a path. Symbolic links, also in the last component, are resolved inside the root. */
export function lookup(layers: readonly Fd[], asked: string): PathFact {
  let rest = asked.split("/").filter((part) => part !== "");
  let steps: Step[] = [];
  let links = 0;
  while (rest.length > 0) {
    const name = rest[0] as string;
    rest = rest.slice(1);
    if (name === "..") {
      steps = steps.slice(0, -1);
      continue;
    }
    const parent = steps.at(-1);
    const path = parent ? `${parent.fact.path}/${name}` : name;
    const found = lookupName(parent?.layers ?? layers, path);
    if (found === undefined) return missing(asked, steps, [path, ...rest]);
    if (isType(found.stat, S_IFLNK)) {
      if (++links > MAX_LINKS)
        throw new VeneerError("LOOP", `too many symbolic links at ${asked} in the base`);
      const target = readlink(path, found.layers[0]?.number) ?? "";
      if (target.startsWith("/")) steps = [];
      rest = [...target.split("/").filter((part) => part !== "" && part !== "."), ...rest];
      continue;
    }
    if (!isType(found.stat, S_IFDIR)) {
      if (rest.length > 0) return missing(asked, steps, [path, ...rest]);
      return { asked, path, kind: "other", parents: steps.map((step) => step.fact) };
    }
    steps = [
      ...steps,
      { fact: directoryFact(path, found.stat, found.layers[0] as Fd), layers: found.layers },
    ];
  }
  const last = steps.at(-1);
  if (!last) throw new VeneerError("BAD_PATH", `${asked} is the root itself in the base`);
  return {
    asked,
    path: last.fact.path,
    kind: "directory",
    parents: steps.slice(0, -1).map((step) => step.fact),
    directory: last.fact,
  };
}

/**
 * The text of a regular file in the merged layers; undefined where there is none. Symbolic links are resolved inside
 * the root. The top layer may be an upper that a container has written to. Throws EFBIG above `limit` bytes.
 */
export function readMerged(layers: readonly Fd[], asked: string, limit: number): string | undefined {
  const bytes = readMergedBytes(layers, asked, limit);
  return bytes && new TextDecoder().decode(bytes);
}

/** Like {@link readMerged}, but returns the bytes. */
export function readMergedBytes(layers: readonly Fd[], asked: string, limit: number): Uint8Array | undefined {
  const fact = lookup(layers, asked);
  if (fact.kind !== "other") return undefined;
  const found = locate(layers, fact.path);
  if (!found) return undefined;
  using fd = openRegular(found.dir, fact.path);
  return fd && readAll(fd.number, limit, asked);
}

/** The paths that match any pattern; its last component may have `*` and `?`. Reads each directory once. */
export function expandAll(layers: readonly Fd[], patterns: readonly string[]): string[] {
  const listings = new Map<string, ReadonlySet<string>>();
  const paths = patterns.flatMap((pattern) => {
    const slash = pattern.lastIndexOf("/");
    const name = pattern.slice(slash + 1);
    if (!/[*?]/.test(name)) return [pattern];
    const directory = pattern.slice(0, slash);
    const names = listings.get(directory) ?? namesIn(layers, directory);
    listings.set(directory, names);
    return [...names].filter((entry) => matchesGlob(name, entry)).map((entry) => `${directory}/${entry}`);
  });
  return [...new Set(paths)];
}

function namesIn(layers: readonly Fd[], directory: string): ReadonlySet<string> {
  const names = new Set<string>();
  const path = directory === "" ? "." : lookup(layers, directory).path;
  for (const layer of layers) {
    if (!isType(lstatMaybe(path, layer.number), S_IFDIR)) continue;
    for (const entry of list(path, layer.number)) names.add(entry);
  }
  return names;
}

/** Finds the layer that has a path; no component but the last may be a symbolic link. */
export function locate(
  layers: readonly Fd[],
  path: string,
): (Found & { dir: number; path: string }) | undefined {
  const parts = path.split("/");
  let holders = layers;
  let found: Found | undefined;
  for (let depth = 1; depth <= parts.length; depth++) {
    found = lookupName(holders, parts.slice(0, depth).join("/"));
    holders = found?.layers ?? [];
  }
  const holder = holders[0];
  return found && holder && { ...found, dir: holder.number, path };
}

export interface Found {
  /** status in the top layer that has it */
  readonly stat: Stat;
  /** for a directory, all layers that are merged there, top first; otherwise the layer that has it */
  readonly layers: readonly Fd[];
}

/** Looks up a path whose parent is merged from `layers`. */
export function lookupName(layers: readonly Fd[], path: string): Found | undefined {
  const merged: Fd[] = [];
  let first: Stat | undefined;
  for (const layer of layers) {
    const stat = lstatMaybe(path, layer.number);
    if (!stat) continue;
    if (isWhiteout(stat, `${layer.path}/${path}`)) break;
    if (!isType(stat, S_IFDIR)) return first ? { stat: first, layers: merged } : { stat, layers: [layer] };
    first ??= stat;
    merged.push(layer);
    if (isOpaque(`${layer.path}/${path}`)) break;
  }
  return first && { stat: first, layers: merged };
}

/** The names in the directory at `path` that is merged from `layers`, sorted. */
export function listMerged(layers: readonly Fd[], path: string): string[] {
  const names = new Set<string>();
  for (const layer of layers) for (const name of list(path, layer.number)) names.add(name);
  return [...names].sort().filter((name) => lookupName(layers, path === "." ? name : `${path}/${name}`));
}

function missing(asked: string, steps: readonly Step[], rest: readonly string[]): PathFact {
  const parts: string[] = [];
  for (const part of rest.join("/").split("/")) {
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return { asked, path: parts.join("/"), kind: "missing", parents: steps.map((step) => step.fact) };
}

/** The attributes of a directory that a copy-up preserves (all but overlayfs's own xattrs). */
export function directoryFact(path: string, stat: Stat, layer: Fd): DirectoryFact {
  return {
    path,
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    mtime: stat.mtime,
    xattrs: xattrs(`${layer.path}/${path}`),
  };
}

/** All extended attributes except overlayfs's own; for a symbolic link, those of the link. */
export function xattrs(path: string): XattrMap {
  const map = new Map<string, Uint8Array>();
  for (const name of listxattr(path)) {
    const value = isOverlayXattr(name) ? undefined : lgetxattr(path, name);
    if (value) map.set(name, value);
  }
  return map;
}

/** The attributes of the merged root directory, which are those of the top layer. */
export function rootFact(layers: readonly Fd[]): {
  mode: number;
  uid: number;
  gid: number;
  xattrs: XattrMap;
} {
  const top = layers[0] as Fd;
  const { mode, uid, gid } = fstat(top.number);
  return { mode: mode & 0o7777, uid, gid, xattrs: xattrs(`${top.path}/.`) };
}
