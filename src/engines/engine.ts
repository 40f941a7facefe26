/** What `setup` changes for an engine: files, each with a function from the present text to the new text. */

import type { FsIds } from "../sys/credentials.ts";

export interface SetupRequest {
  /** directory of the engine's configuration: /etc, or another one for a preview or a test */
  readonly etc: string;
  /** directory of veneer, veneer-runc and veneer-crun */
  readonly bin: string;
  /** options before the command by which a hook finds the store of a user; absent: the engine of root */
  readonly user?: readonly string[];
}

export interface FileChange {
  readonly path: string;
  /**
   * Returns the new text of the file, with everything that is not ours unchanged, or `text` itself when nothing has to
   * change. `text` is undefined when there is no file. Throws VeneerError when the file cannot be understood.
   */
  add(text: string | undefined): string;
  /**
   * Returns the text without what {@link add} added; undefined to remove the file. `before` is the text before the
   * first `setup`, null when there was no file, absent when that is not known.
   */
  remove(text: string, before?: string | null): string | undefined;
  /** permissions of a new file; absent: 0644 */
  readonly mode?: number;
  /** a command that makes the change take effect, in addition to `restart` of the engine */
  readonly reload?: string;
}

/**
 * A directory that `setup` creates. `unsetup` removes it if it is empty: with its files or, when `ours`, in any case.
 */
export interface NewDirectory {
  readonly path: string;
  readonly mode: number;
  /** absent: root */
  readonly owner?: FsIds;
  readonly ours?: boolean;
}

export interface EngineSetup {
  readonly name: string;
  /** name of the journal in which `setup` remembers what was there; absent: `name` */
  readonly journal?: string;
  /** outermost first */
  readonly directories?: readonly NewDirectory[];
  readonly changes: (request: SetupRequest) => readonly FileChange[];
  /** what the user must do to make the changes take effect; veneer never restarts an engine itself */
  readonly restart: string;
  /** how to start a container on a base afterwards */
  readonly use: string;
}

/** A drop-in file that is entirely ours: `setup` writes it with this content, `unsetup` removes it. */
export function ownFile(path: string, content: string): FileChange {
  return { path, add: () => content, remove: () => undefined };
}
