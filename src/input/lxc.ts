/** What LXC tells a hook: in the environment, and with lxc.hook.version 0 in arguments (lxc.container.conf(5)). */
import { UsageError, VeneerError } from "../errors.ts";
import { quote } from "../quote.ts";
import { isErrno } from "../sys/errno.ts";
import { readText } from "../sys/fd.ts";
import { list } from "../sys/stat.ts";

export interface LxcHook {
  readonly name: string;
  /** pre-mount, post-stop, … */
  readonly type: string;
  /** lxc.rootfs.path without its type */
  readonly rootfs: string;
  readonly config: string;
}

/** `extra` are the words after the options: NAME, `lxc` and the type with lxc.hook.version 0, none with 1. */
export function readLxcHook(env: NodeJS.ProcessEnv, extra: readonly string[]): LxcHook {
  const name = env.LXC_NAME ?? extra[0];
  const type = env.LXC_HOOK_TYPE ?? extra[2];
  if (!name || !type) {
    throw new UsageError(
      "veneer hook lxc was called without a container's name or a hook's type",
      "set it as lxc.hook.pre-mount and lxc.hook.post-stop in the container's configuration",
    );
  }
  return { name, type, rootfs: env.LXC_ROOTFS_PATH ?? "", config: env.LXC_CONFIG_FILE ?? "" };
}

/** The directory that LXC will use as the root. Other storage types have no directory to mount on. */
export function rootfsDirectory(hook: LxcHook): string {
  const path = hook.rootfs.startsWith("dir:") ? hook.rootfs.slice("dir:".length) : hook.rootfs;
  if (path.startsWith("/")) return path;
  throw new VeneerError(
    "ROOTFS_TYPE",
    `lxc.rootfs.path of container ${hook.name} is ${quote(hook.rootfs)}, not a directory`,
    {
      hint: "set lxc.rootfs.path = dir:DIRECTORY with an empty directory",
    },
  );
}

const MAX_INCLUDES = 64;

/**
 * Refuses an idmapped root: LXC then clones the directory below the overlay, and the container would silently
 * start on an empty root. What was set on the command line (`-s`) cannot be seen here.
 */
export function refuseIdmappedRoot(hook: LxcHook): void {
  const seen = new Set<string>();
  const queue = hook.config === "" ? [] : [hook.config];
  for (let file = queue.shift(); file !== undefined && seen.size < MAX_INCLUDES; file = queue.shift()) {
    if (seen.has(file)) continue;
    seen.add(file);
    for (const line of readLines(file, queue)) {
      const [key, value] = splitLine(line);
      if (key === "lxc.include" && value !== "") queue.push(value);
      if (key === "lxc.rootfs.options" && value.split(",").some((option) => option.startsWith("idmap="))) {
        throw new VeneerError(
          "IDMAPPED_ROOT",
          `container ${hook.name} has lxc.rootfs.options = ${value} (in ${file})`,
          {
            hint: "LXC would bypass the overlay with it: remove idmap= from lxc.rootfs.options",
          },
        );
      }
    }
  }
}

/** Lines of a file; a directory (lxc.include takes one) adds its *.conf files to the queue. */
function readLines(path: string, queue: string[]): string[] {
  try {
    return readText(path)?.split("\n") ?? [];
  } catch (error) {
    if (isErrno(error, "EISDIR")) {
      for (const name of list(path)) if (name.endsWith(".conf")) queue.push(`${path}/${name}`);
      return [];
    }
    if (isErrno(error, "EACCES")) return [];
    throw error;
  }
}

function splitLine(line: string): [key: string, value: string] {
  const equals = line.indexOf("=");
  if (equals < 0 || line.trimStart().startsWith("#")) return ["", ""];
  return [
    line.slice(0, equals).trim(),
    line
      .slice(equals + 1)
      .trim()
      .replace(/^"(.*)"$/, "$1"),
  ];
}
