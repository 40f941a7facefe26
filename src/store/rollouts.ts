/** Unfinished rollouts: at most one per base, durable, so that they can continue after a crash. */
import { VeneerError } from "../errors.ts";
import validateRollout from "../generated/rollout.js";
import { type Fd, flock, mkdirMaybe, openatMaybe, rmdirQuietly, unlinkQuietly } from "../sys/fd.ts";
import { AT_FDCWD, LOCK_EX, LOCK_NB, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "../sys/flags.ts";
import { identifySelf, isAlive, type ProcessIdentity } from "../sys/process.ts";
import { fstat, lstatMaybe } from "../sys/stat.ts";
import { formatBaseRef } from "../text/names.ts";
import { readDocument, writeDocument } from "./document.ts";
import { paths, type Store } from "./paths.ts";
import { listBases } from "./versions.ts";

/** A named instance, or a container without one. */
export type MemberKind = "instance" | "container";

/**
 * `planned`: not moved yet; `moved`: on the target; `checked`: on the target, and its check passed; `back`: back on its
 * previous version, because a check failed.
 */
export type EntryState = "planned" | "moved" | "checked" | "back";

export interface Entry {
  readonly kind: MemberKind;
  readonly id: string;
  /** the version to which it returns when a check fails */
  readonly from: number;
  readonly state: EntryState;
}

export interface Rollout {
  /** the target version of all entries */
  readonly to: number;
  /** ISO 8601 */
  readonly begun: string;
  /** `back` once a check has failed: what was moved is reverted */
  readonly phase: "forward" | "back";
  readonly entries: readonly Entry[];
}

interface Document extends Rollout {
  /** the process that last worked on it */
  readonly holder: ProcessIdentity;
}

/** The unfinished rollout of a base; undefined where there is none. Throws where its document is invalid. */
export function readRollout(store: Store, name: string): Rollout | undefined {
  return readDocumentOf(store, name);
}

function readDocumentOf(store: Store, name: string): Document | undefined {
  const hint = "remove that file: what was moved stays on its version, and a new rollout moves the rest";
  return readDocument<Document>(paths.rolloutFile(store, name), validateRollout, hint);
}

/** Publishes the state of a rollout, durable on return. The caller holds {@link lockRollout}. */
export function writeRollout(store: Store, name: string, rollout: Rollout): void {
  writeDocument(paths.rolloutFile(store, name), { ...rollout, holder: identifySelf() }, { sync: true });
}

/** Removes the state of a finished rollout. The caller holds {@link lockRollout}. */
export function removeRollout(store: Store, name: string): void {
  unlinkQuietly(paths.rolloutFile(store, name));
  rmdirQuietly(paths.rollout(store, name));
}

/** Locks the rollout of a base. Throws BUSY, with the holder in the message, when another process has it. */
export function lockRollout(store: Store, name: string): Fd {
  const path = paths.rollout(store, name);
  for (;;) {
    mkdirMaybe(path, 0o700);
    const fd = openatMaybe(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!fd) continue;
    if (!flock(fd.number, LOCK_EX | LOCK_NB, path)) {
      fd[Symbol.dispose]();
      throw beingRolledOut(store, name);
    }
    // before we got the lock, its previous holder may have finished and removed the rollout
    if (lstatMaybe(path)?.ino === fstat(fd.number).ino) return fd;
    fd[Symbol.dispose]();
  }
}

function beingRolledOut(store: Store, name: string): VeneerError {
  const other = readDocumentOf(store, name);
  const who = other && isAlive(other.holder) ? `process ${other.holder.pid}` : "another veneer process";
  const what = other ? ` (onto ${formatBaseRef({ name, version: other.to })}, begun ${other.begun})` : "";
  return new VeneerError("BUSY", `base ${name} is being rolled out by ${who}${what}`, {
    hint: "wait until that has ended",
  });
}

/** All unfinished rollouts, with the names of their bases. */
export function* allRollouts(store: Store): Generator<readonly [name: string, rollout: Rollout]> {
  for (const name of listBases(store)) {
    const rollout = readRollout(store, name);
    if (rollout) yield [name, rollout];
  }
}
