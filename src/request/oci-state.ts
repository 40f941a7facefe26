/** The container's state as a runtime writes it to a hook's stdin. */
import { VeneerError } from "../errors.ts";
import validateState from "../generated/oci-state.js";
import { parseDocument } from "../store/document.ts";
import { DOCUMENT_LIMIT, readAll } from "../sys/fd.ts";
import { checkContainerId } from "../text/names.ts";

export interface State {
  readonly id: string;
  /** absent at some runtimes' poststop */
  readonly status?: string;
  readonly pid?: number;
  readonly bundle?: string;
  readonly annotations?: Readonly<Record<string, string>> | null;
}

/** Reads stdin to its end. Throws when it is no state; OCI runtime specification, runtime.md#state. */
export function readState(): State {
  return parseState(new TextDecoder().decode(readAll(0, DOCUMENT_LIMIT, "the container's state on stdin")));
}

/** Like {@link readState}, of its text. */
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

/** Whether the container is gone: the hook runs at poststop. */
export function isStopped(state: State): boolean {
  return state.status === "stopped" || (state.status === undefined && !state.pid);
}
