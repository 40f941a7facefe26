/** The fields of config.json that we read or edit (config.md, config-linux.md). */
import { VeneerError } from "../errors.ts";
import { AmbiguousJson, type Shape, shapeOf } from "./json-check.ts";

const leaves = (...names: string[]): Shape => shapeOf(Object.fromEntries(names.map((name) => [name, null])));

const HOOK = leaves("path", "args", "env", "timeout");
const MAPPING = leaves("containerID", "hostID", "size");

export const CONFIG_SHAPE: Shape = shapeOf({
  root: leaves("path", "readonly"),
  process: leaves("env", "cwd"),
  annotations: null,
  mounts: leaves("destination", "source", "type", "options"),
  hooks: shapeOf({
    prestart: HOOK,
    createRuntime: HOOK,
    createContainer: HOOK,
    startContainer: HOOK,
    poststart: HOOK,
    poststop: HOOK,
  }),
  linux: shapeOf({
    cgroupsPath: null,
    maskedPaths: null,
    readonlyPaths: null,
    rootfsPropagation: null,
    namespaces: leaves("type", "path"),
    uidMappings: MAPPING,
    gidMappings: MAPPING,
  }),
});

const REWRITE = "write it again with a JSON library; the container was not started";

/**
 * Converts an error of `parseUnambiguous` about the text of the document `name`. Truncates the parser's message, since
 * it may quote the text. `hint` is for a text that is not JSON at all.
 */
export function unusable(name: string, text: string, cause: unknown, hint = REWRITE): VeneerError {
  if (text.trim() === "") return new VeneerError("BAD_DOCUMENT", `${name} is empty`, { hint });
  const why = new Error(cause instanceof Error ? cause.message.slice(0, 200) : "parse error");
  if (!(cause instanceof AmbiguousJson)) {
    return new VeneerError("BAD_DOCUMENT", `${name} is not JSON`, { cause: why, hint });
  }
  return new VeneerError("AMBIGUOUS_CONFIG", `${name} is not JSON that all runtimes read alike`, {
    cause: why,
    hint: REWRITE,
  });
}
