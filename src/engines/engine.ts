/** What `setup` changes for an engine: files, each by a function from its text to the new text. */

export interface SetupRequest {
  /** where the engine's configuration is: /etc, or another directory for a look or a test */
  readonly etc: string;
  /** directory that holds veneer, veneer-runc and veneer-crun */
  readonly bin: string;
}

export interface FileChange {
  readonly path: string;
  /**
   * The new text; `text` is undefined where there is no file. Everything else in it stays as it is. Returns the
   * text itself when nothing is to be done. Throws VeneerError when the file cannot be understood.
   */
  add(text: string | undefined): string;
  /** The text without what {@link add} put in; undefined to remove the file. */
  remove(text: string): string | undefined;
}

export interface Engine {
  readonly name: string;
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
