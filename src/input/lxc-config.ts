/** A container's configuration file as LXC reads it (lxc.container.conf(5)): line by line, includes in place. */
import { isErrno } from "../sys/errno.ts";
import { readText } from "../sys/fd.ts";
import { list } from "../sys/stat.ts";

export interface LxcConfig {
  /** lxc.rootfs.path, with its type */
  readonly rootfs: string;
  /** lxc.rootfs.options with an `idmap=`, and the file that sets it */
  readonly idmap?: { readonly options: string; readonly file: string };
  /** lxc.ephemeral: a copy that lxc-copy -e made */
  readonly ephemeral: boolean;
  /** lxc.environment; a later line of the same name wins */
  readonly environment: Readonly<Record<string, string>>;
}

interface Line {
  readonly key: string;
  readonly value: string;
  readonly file: string;
}

/** What is set on the command line (`-s`) is not in the file and cannot be seen. */
export function readLxcConfig(path: string): LxcConfig {
  let rootfs = "";
  let idmap: LxcConfig["idmap"];
  let ephemeral = false;
  let environment: Record<string, string> = {};
  for (const { key, value, file } of path === "" ? [] : readLines(path)) {
    if (key === "lxc.rootfs.path") rootfs = value;
    else if (key === "lxc.ephemeral") ephemeral = value === "1";
    else if (key === "lxc.rootfs.options" && value.split(",").some((item) => item.startsWith("idmap="))) {
      idmap = { options: value, file };
    } else if (key === "lxc.environment") {
      const equals = value.indexOf("=");
      if (value === "") environment = {};
      else if (equals > 0) environment[value.slice(0, equals)] = value.slice(equals + 1);
    }
  }
  return { rootfs, ephemeral, environment, ...(idmap && { idmap }) };
}

/** Bounds a circle of includes, which LXC itself does not survive. */
const MAX_FILES = 256;

function* readLines(path: string, budget = { files: MAX_FILES }): Generator<Line> {
  if (--budget.files < 0) return;
  for (const line of readFile(path)) {
    const equals = line.indexOf("=");
    if (equals < 0 || line.trimStart().startsWith("#")) continue;
    const key = line.slice(0, equals).trim();
    const value = unquote(line.slice(equals + 1).trim());
    if (key !== "lxc.include") yield { key, value, file: path };
    else if (value !== "") for (const file of includedFiles(value)) yield* readLines(file, budget);
  }
}

/** A file that cannot be read is left out: LXC has read it before, or will say so itself. */
function readFile(path: string): string[] {
  try {
    return readText(path)?.split("\n") ?? [];
  } catch (error) {
    if (isErrno(error, "EACCES")) return [];
    throw error;
  }
}

/** lxc.include takes a file, or a directory for all *.conf files in it. */
function includedFiles(path: string): string[] {
  try {
    const names = list(path.replace(/\/*$/, "/.")).filter((name) => name.endsWith(".conf"));
    return names.sort().map((name) => `${path.replace(/\/+$/, "")}/${name}`);
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ENOENT")) return [path];
    if (isErrno(error, "EACCES")) return [];
    throw error;
  }
}

function unquote(value: string): string {
  return /^(["']).*\1$/.test(value) ? value.slice(1, -1) : value;
}
