import { VeneerError } from "../errors.ts";

/** The error for a configuration file of an engine that `setup` cannot edit safely. */
export function notUnderstood(path: string, why: string): VeneerError {
  return new VeneerError("BAD_ENGINE_CONFIG", `${path} is not what the engine expects: ${why}`, {
    hint: "nothing was changed: correct the file first",
  });
}
