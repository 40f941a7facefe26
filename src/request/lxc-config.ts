/** A container's configuration file as LXC reads it (lxc.container.conf(5)): line by line, includes in place. */

import { isErrno } from "../sys/errno.ts";
import { readText } from "../sys/fd.ts";
import { list } from "../sys/stat.ts";
import type { IdMap } from "../sys/user-namespace.ts";
import { idMapOfLines } from "./lxc-idmap.ts";
import { isOurHook } from "./lxc-text.ts";

export interface LxcConfig {
  /** lxc.rootfs.path, with its type */
  readonly rootfs: string;
  /** lxc.rootfs.options with an `idmap=`, and the file that sets it */
  readonly idmap?: { readonly options: string; readonly file: string };
  /** lxc.ephemeral: a copy that lxc-copy -e made */
  readonly ephemeral: boolean;
  /** lxc.idmap; absent: the container has no user namespace of its own */
  readonly map?: IdMap;
  /** veneer is called at pre-mount */
  readonly preMount: boolean;
  /** lxc.environment; a later line of the same name wins */
  readonly environment: Readonly<Record<string, string>>;
}

export interface Line {
  /** without `lxc.` */
  readonly key: string;
  readonly value: string;
  readonly file: string;
}

/** What is set on the command line (`-s`) is not in the file and cannot be seen. */
export function readLxcConfig(path: string): LxcConfig {
  return lxcConfigOf(path === "" ? [] : readLines(path, LINE));
}

/** What the lines of a file and of its includes come to. Pure. */
export function lxcConfigOf(lines: Iterable<Line>): LxcConfig {
  let rootfs = "";
  let idmap: LxcConfig["idmap"];
  let ephemeral = false;
  let preMount = false;
  const idmaps: string[] = [];
  let environment: Record<string, string> = {};
  for (const { key, value, file } of lines) {
    if (key === "rootfs.path") rootfs = value;
    else if (key === "ephemeral") ephemeral = value === "1";
    else if (key === "idmap") idmaps.push(value);
    else if (key === "hook.pre-mount") preMount = value !== "" && (preMount || isOurHook(value));
    else if (key === "rootfs.options") {
      // the last line counts: an empty one takes back what LXD and Incus write
      const isMapped = value.split(",").some((item) => item.startsWith("idmap="));
      idmap = isMapped ? { options: value, file } : undefined;
    } else if (key === "environment") {
      const equals = value.indexOf("=");
      if (value === "") environment = {};
      else if (equals > 0) environment[value.slice(0, equals)] = value.slice(equals + 1);
    }
  }
  const map = idMapOfLines(idmaps);
  return { rootfs, ephemeral, preMount, environment, ...(idmap && { idmap }), ...(map && { map }) };
}

/** Bounds a circle of includes, which LXC itself does not survive. */
const MAX_FILES = 256;

/** Lines of the keys that count, found in one pass: common.conf is long and this is in the path of every start. */
const LINE =
  /^[ \t]*lxc\.(include|rootfs\.path|rootfs\.options|ephemeral|environment|idmap|hook\.pre-mount)[ \t]*=(.*)$/gm;

/** All lines of a file and of what it includes, in order. Not for the path of a start. */
export function readAllLines(path: string): Line[] {
  return [...readLines(path, /^[ \t]*lxc\.([A-Za-z0-9_.-]+)[ \t]*=(.*)$/gm)];
}

function* readLines(path: string, pattern: RegExp, budget = { files: MAX_FILES }): Generator<Line> {
  if (--budget.files < 0) return;
  const text = path.endsWith("/") ? undefined : readFile(path);
  if (text === undefined) {
    for (const file of filesIn(path)) yield* readLines(file, pattern, budget);
    return;
  }
  for (const [, key, raw] of text.matchAll(pattern)) {
    const value = unquote((raw as string).trim());
    if (key !== "include") yield { key: key as string, value, file: path };
    else if (value !== "") yield* readLines(value, pattern, budget);
  }
}

/** Undefined for a directory. What cannot be read is left out: LXC has read it before, or says so itself. */
function readFile(path: string): string | undefined {
  try {
    return readText(path) ?? "";
  } catch (error) {
    if (isErrno(error, "EISDIR")) return undefined;
    if (isErrno(error, "EACCES", "ENOTDIR")) return "";
    throw error;
  }
}

/** lxc.include takes a directory too, for all *.conf files in it. */
function filesIn(directory: string): string[] {
  const path = directory.replace(/\/+$/, "");
  try {
    const names = list(`${path}/.`).filter((name) => name.endsWith(".conf"));
    return names.sort().map((name) => `${path}/${name}`);
  } catch (error) {
    if (isErrno(error, "EACCES", "ENOTDIR", "ENOENT")) return [];
    throw error;
  }
}

function unquote(value: string): string {
  return /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value;
}
