/** What `setup` changes for an engine: files, each by a function from its text to the new text. */

import type { FsIds } from "../sys/credentials.ts";

export interface SetupRequest {
  /** where the engine's configuration is: /etc, or another directory for a look or a test */
  readonly etc: string;
  /** directory that holds veneer, veneer-runc and veneer-crun */
  readonly bin: string;
  /** words before the command by which a hook finds a user's store; absent: root's engine */
  readonly user?: readonly string[];
}

export interface FileChange {
  readonly path: string;
  /**
   * The new text; `text` is undefined where there is no file. Everything else in it stays as it is. Returns the
   * text itself when nothing is to be done. Throws VeneerError when the file cannot be understood.
   */
  add(text: string | undefined): string;
  /**
   * The text without what {@link add} put in; undefined to remove the file. `before` is what was there before the
   * first `setup`, null for no file, where that is known.
   */
  remove(text: string, before?: string | null): string | undefined;
  /** permissions of a new file, 0644 unless given */
  readonly mode?: number;
  /** the command by which the change takes effect, beside what the engine needs */
  readonly reload?: string;
}

/** A directory that `setup` makes. `unsetup` removes it where it is empty, with the files or, when `ours`, in any case. */
export interface NewDirectory {
  readonly path: string;
  readonly mode: number;
  /** root, unless given */
  readonly owner?: FsIds;
  readonly ours?: boolean;
}

export interface EngineSetup {
  readonly name: string;
  /** what `setup` remembers it by; its name unless given */
  readonly journal?: string;
  /** outermost first */
  readonly directories?: readonly NewDirectory[];
  readonly changes: (request: SetupRequest) => readonly FileChange[];
  /** what to do for it to take effect; veneer never restarts an engine itself */
  readonly restart: string;
  /** how to start a container on a base then */
  readonly use: string;
}

/** A drop-in file of ours: it is there with this text, or not at all. */
export function ownFile(path: string, content: string): FileChange {
  return { path, add: () => content, remove: () => undefined };
}
