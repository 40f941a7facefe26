/** Instances that live as long as an engine's container: whether that exists still. */
import { lstatMaybe } from "../sys/stat.ts";

/** The engine's container that an instance belongs to. */
export interface Owner {
  readonly engine: "docker";
  /** exists as long as the container does, running or not */
  readonly directory: string;
  /** inode of the directory that holds it: another one there is not the engine's, or not the same engine's */
  readonly parent: string;
}

/** Undefined where the engine's container is not there to own anything. */
export function ownerAt(directory: string): Owner | undefined {
  const parent = lstatMaybe(parentOf(directory));
  if (!parent || !lstatMaybe(directory)) return undefined;
  return { engine: "docker", directory, parent: String(parent.ino) };
}

/**
 * Whether the container exists. Needs no engine that runs; unknown where the engine's own directory is not there
 * or is another one, as when its disk is not mounted. Throws SysError when it cannot be looked at.
 */
export function ownerState(owner: Owner): "exists" | "gone" | "unknown" {
  if (String(lstatMaybe(parentOf(owner.directory))?.ino) !== owner.parent) return "unknown";
  return lstatMaybe(owner.directory) ? "exists" : "gone";
}

function parentOf(directory: string): string {
  return directory.slice(0, directory.lastIndexOf("/"));
}
