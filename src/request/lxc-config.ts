/** A container's configuration file, read as LXC does (lxc.container.conf(5)): line by line, with includes in place. */

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

/** Reads a configuration file and its includes. Does not see what `-s` on LXC's command line sets. */
export function readLxcConfig(path: string): LxcConfig {
  return lxcConfigOf(path === "" ? [] : readLines(path, LINE));
}

/** The configuration that the lines of a file and its includes result in. Pure. */
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
      // the last line counts; an empty value resets what LXD and Incus write
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

/** A limit for circular includes, which LXC itself does not survive. */
const MAX_FILES = 256;

/** Finds the lines of relevant keys in one pass, because common.conf is long and every start reads it. */
const LINE =
  /^[ \t]*lxc\.(include|rootfs\.path|rootfs\.options|ephemeral|environment|idmap|hook\.pre-mount)[ \t]*=(.*)$/gm;

/** All lines of a file and its includes, in order. Too slow for a start. */
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

/** Undefined for a directory. Skips unreadable files: LXC has read them before, or reports them itself. */
function readFile(path: string): string | undefined {
  try {
    return readText(path) ?? "";
  } catch (error) {
    if (isErrno(error, "EISDIR")) return undefined;
    if (isErrno(error, "EACCES", "ENOTDIR")) return "";
    throw error;
  }
}

/** The *.conf files of a directory, which lxc.include accepts as well. */
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
