/** The container's state, which a runtime writes to a hook's stdin. */
import { VeneerError } from "../errors.ts";
import validateState from "../generated/oci-state.js";
import { parseDocument } from "../store/document.ts";
import { DOCUMENT_LIMIT, readAll } from "../sys/fd.ts";
import { checkContainerId } from "../text/names.ts";

export interface State {
  readonly id: string;
  /** absent at poststop in some runtimes */
  readonly status?: string;
  readonly pid?: number;
  readonly bundle?: string;
  readonly annotations?: Readonly<Record<string, string>> | null;
}

/** Reads the state from stdin. Throws when it is invalid (OCI runtime specification, runtime.md#state). */
export function readState(): State {
  return parseState(new TextDecoder().decode(readAll(0, DOCUMENT_LIMIT, "the container's state on stdin")));
}

/** Like {@link readState}, but for its text. */
export function parseState(text: string): State {
  const state = parseDocument<State>(
    text,
    "the container's state on stdin",
    validateState,
    "veneer hook oci is started by an OCI runtime, which gives it the state",
  );
  checkContainerId(state.id);
  if (state.bundle !== undefined && !state.bundle.startsWith("/")) {
    throw new VeneerError("BAD_STATE", "the container's state names a bundle that is not an absolute path");
  }
  return state;
}

/** Whether the container has stopped, which means that the hook runs at poststop. */
export function isStopped(state: State): boolean {
  return state.status === "stopped" || (state.status === undefined && !state.pid);
}
