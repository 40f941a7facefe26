/** Instances that live as long as an engine's container: whether the container still exists. */
import { lstatMaybe } from "../sys/stat.ts";

/** The engine's container that an instance belongs to. */
export interface Owner {
  readonly engine: "docker";
  /** exists as long as the container does, running or not */
  readonly directory: string;
  /** inode of its parent directory, by which another directory at that path is recognized as not the engine's */
  readonly parent: string;
}

/** The owner for a container's directory; undefined where the directory does not exist. */
export function ownerAt(directory: string): Owner | undefined {
  const parent = lstatMaybe(parentOf(directory));
  if (!parent || !lstatMaybe(directory)) return undefined;
  return { engine: "docker", directory, parent: String(parent.ino) };
}

/**
 * Whether the container exists, read from disk: the engine need not run. `unknown` where the engine's own directory is
 * missing or another one, for example because its disk is not mounted. Throws SysError when it cannot be read.
 */
export function ownerState(owner: Owner): "exists" | "gone" | "unknown" {
  if (String(lstatMaybe(parentOf(owner.directory))?.ino) !== owner.parent) return "unknown";
  return lstatMaybe(owner.directory) ? "exists" : "gone";
}

function parentOf(directory: string): string {
  return directory.slice(0, directory.lastIndexOf("/"));
}
