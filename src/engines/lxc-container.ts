/** An LXC container: its name, its configuration, its root. */
import { UsageError, VeneerError } from "../errors.ts";
import type { ForeignOverlay } from "../instances/adopt.ts";
import { readAllLines } from "../request/lxc-config.ts";
import { shellWord, valuesOf } from "../request/lxc-text.ts";
import { readText } from "../sys/fd.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { displayName } from "../text/names.ts";
import { quote } from "../text/quote.ts";

export interface LxcContainer {
  readonly name: string;
  /** absolute path of the directory that holds the containers */
  readonly path: string;
}

/** The directory in which LXC keeps containers (lxc.system.conf(5)). */
export function lxcPath(etc: string): string {
  const text = readText(`${etc}/lxc/lxc.conf`) ?? "";
  return valuesOf(text, "lxcpath").at(-1) || "/var/lib/lxc";
}

/** Returns the name. Throws UsageError when LXC would not accept it. */
export function checkLxcName(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what cannot stand in a line or a path
  if (name !== "" && name !== "." && name !== ".." && !/[/\u0000-\u001f]/.test(name)) return name;
  throw new UsageError(`${quote(name)} is not a container's name`);
}

export const containerDirectory = ({ path, name }: LxcContainer): string => `${path}/${name}`;
export const containerConfig = (container: LxcContainer): string => `${containerDirectory(container)}/config`;

/** The value of `lxc.rootfs.path` of a container; undefined when it is not set. */
export function lxcRootOf(container: LxcContainer): string | undefined {
  const path = containerConfig(container);
  if (!lstatMaybe(path)) return undefined;
  return readAllLines(path).findLast(({ key }) => key === "rootfs.path")?.value;
}

/** The shell command that starts the container. */
export function startLine({ name, path }: LxcContainer): string {
  return `lxc-start${path === "/var/lib/lxc" ? "" : ` -P ${shellWord(path)}`} -n ${shellWord(name)}`;
}

/** The overlay that LXC itself mounts for a container. Throws when the root is of another kind. */
export function readLxcOverlay(container: LxcContainer): ForeignOverlay {
  const who = `container ${displayName(container.name)}`;
  const path = containerConfig(container);
  if (!lstatMaybe(path)) {
    throw new VeneerError("NO_CONTAINER", `there is no ${who}: ${quote(path)} does not exist`, {
      hint: "'lxc-ls' lists them; --lxcpath names another directory of containers",
    });
  }
  const root = readAllLines(path).findLast(({ key }) => key === "rootfs.path")?.value ?? "";
  // like LXC (storage/overlay.c): the last part is the upper
  const parts = /^overlay(?:fs)?:(\/.*)$/.exec(root)?.[1]?.split(/:(?=\/)/) ?? [];
  const upper = parts.pop();
  if (upper !== undefined && parts.length > 0) return { who, lowers: parts, upper };
  throw new VeneerError("NO_OVERLAY", `${who} has no overlay of its own: lxc.rootfs.path is ${quote(root)}`, {
    hint: `'veneer setup lxc ${displayName(container.name)} --base BASE' gives it a base`,
  });
}
