/** Named instances: a definition and, for each generation, an upper and a work directory. */
import { UsageError, VeneerError } from "../errors.ts";
import validateInstance from "../generated/instance.js";
import { type BaseRef, formatBaseRef } from "../names.ts";
import { type Fd, flock, openatMaybe } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_RDONLY } from "../sys/flags.ts";
import type { BaseVersion } from "./bases.ts";
import { readDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";

export interface Instance {
  readonly base: string;
  readonly version: number;
  /** of the version that it was made on */
  readonly digest: string;
  /** the generation in use */
  readonly generation: number;
  /** ISO 8601 */
  readonly created: string;
  /** decided when the upper is made; a later start leaves the upper as the container left it */
  readonly opaque: readonly string[];
  readonly mask: readonly string[];
  /** bytes of an upper in memory, made anew at each start */
  readonly tmpfs?: number;
}

/** The instance's definition, or undefined where there is none of that name. */
export function readInstance(store: Store, id: string): Instance | undefined {
  return readDocument<Instance>(paths.instanceFile(store, id), validateInstance);
}

/** Like {@link readInstance}; throws where there is none. */
export function requireInstance(store: Store, id: string): Instance {
  const instance = readInstance(store, id);
  if (instance) return instance;
  throw new VeneerError("NO_INSTANCE", `no instance ${id} in ${store.root}`, {
    hint: `'veneer ls' lists them, 'veneer create ${id} BASE' makes one`,
  });
}

/**
 * Takes an instance for a change or a start; undefined where there is no such instance. Waits for nobody:
 * another holder is an error that says so.
 */
export function lockInstance(store: Store, id: string): Fd | undefined {
  const path = paths.instance(store, id);
  const fd = openatMaybe(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (fd && !flock(fd.number, LOCK_EX | LOCK_NB, path)) {
    fd[Symbol.dispose]();
    throw new VeneerError("BUSY", `instance ${id} is being changed or started by another veneer process`, {
      hint: "try again in a moment",
    });
  }
  return fd;
}

/** Refuses a base that the instance is not on, and a version of the same number with another content. */
export function checkInstanceBase(id: string, instance: Instance, wanted: BaseRef | undefined): BaseRef {
  const own = { name: instance.base, version: instance.version };
  const differs =
    wanted !== undefined &&
    (wanted.name !== own.name || (wanted.version !== undefined && wanted.version !== own.version));
  if (!differs) return own;
  throw new UsageError(
    `instance ${id} is on ${formatBaseRef(own)}, not on ${formatBaseRef(wanted)}`,
    `name no other base for it, or use another instance`,
  );
}

export function checkInstanceDigest(id: string, instance: Instance, version: BaseVersion): void {
  if (instance.digest === version.manifest.digest) return;
  throw new VeneerError(
    "OTHER_CONTENT",
    `instance ${id} was made on another ${version.name}@${version.version} (${instance.digest}, now ${version.manifest.digest})`,
    { hint: "its changes may not fit: make a new instance, or bring the old base back" },
  );
}
