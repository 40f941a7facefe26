/** Edit sessions: at most one per base, durable, so that they survive a reboot. */
import { VeneerError } from "../errors.ts";
import validateSession from "../generated/session.js";
import { isErrno } from "../sys/errno.ts";
import { type Fd, flock, openat } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../sys/flags.ts";
import { fstat, lstatMaybe } from "../sys/stat.ts";
import { type BaseVersion, readVersion } from "./bases.ts";
import { readDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";
import { listBases, listVersions } from "./versions.ts";

/** The contents of bases/NAME/session/session.json. */
export interface Session {
  /** the version that is edited */
  readonly version: number;
  /** digest of that version */
  readonly digest: string;
  /** the id that its layer will have */
  readonly layer: string;
  /** ISO 8601 */
  readonly created: string;
  /** the command for which the session lasts; absent: it is mounted until it is committed or aborted */
  readonly command?: readonly string[];
  /** directories of the host that the command sees */
  readonly volumes?: readonly SessionVolume[];
}

export interface SessionVolume {
  /** absolute, on the host */
  readonly source: string;
  /** absolute, in the session */
  readonly destination: string;
  readonly readonly: boolean;
}

/** The session of a base; undefined where there is none. */
export function readSession(store: Store, name: string): Session | undefined {
  return readDocument<Session>(paths.sessionFile(store, name), validateSession);
}

/** All sessions, with the names of their bases. */
export function* allSessions(store: Store): Generator<readonly [name: string, session: Session]> {
  for (const name of listBases(store)) {
    const session = readSession(store, name);
    if (session) yield [name, session];
  }
}

/**
 * Locks a session for a change, or for as long as its command runs; undefined where there is none. Does not wait:
 * throws BUSY when another process holds the lock.
 */
export function lockSession(store: Store, name: string): Fd | undefined {
  const path = paths.session(store, name);
  let fd: Fd;
  try {
    fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  if (!flock(fd.number, LOCK_EX | LOCK_NB, path)) {
    fd[Symbol.dispose]();
    const command = readSession(store, name)?.command;
    const who = command === undefined ? "another veneer process" : `'${command.join(" ")}'`;
    throw new VeneerError("BUSY", `base ${name} is being edited by ${who}`, {
      hint: "wait until that has ended",
    });
  }
  if (lstatMaybe(path)?.ino === fstat(fd.number).ino) return fd;
  fd[Symbol.dispose]();
  return undefined;
}

/** The version in which a session's layer was published, by a commit that was killed before it cleaned up. */
export function publishedAs(store: Store, name: string, session: Session): BaseVersion | undefined {
  for (const version of listVersions(store, name).reverse()) {
    if (version <= session.version) return undefined;
    const candidate = readVersion(store, { name, version });
    const [top] = candidate.manifest.layers;
    if (top && "id" in top && top.id === session.layer) return candidate;
  }
  return undefined;
}

/** Whether a session is left over: its command was killed, or its commit was killed after it published the version. */
export function isLeft(store: Store, name: string, session: Session): boolean {
  if (session.command === undefined && !publishedAs(store, name, session)) return false;
  try {
    using lock = lockSession(store, name);
    return lock !== undefined;
  } catch {
    // BUSY: its command still runs
    return false;
  }
}
