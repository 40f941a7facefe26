/**
 * The wrapping runtime: called instead of runc or crun, it gives a container its root and then executes the real
 * runtime in the same process. It prepares `create`, `run` and `restore` of a container on a base, and `checkpoint` of
 * a running one; for everything else it executes the real runtime at once. The real runtime inherits everything from
 * the caller: nothing here changes descriptors, limits, signals or the environment.
 */

import { formatError, VeneerError } from "../errors.ts";
import { logEvent } from "../report/event-log.ts";
import { reportToRuntimeLog } from "../report/runtime-log.ts";
import { type GlobalOptions, readSettings, type Settings } from "../request/config.ts";
import { type RuntimeCall, readRuntimeArguments } from "../request/runtime-args.ts";
import { hasHiddenRoot, showRoot } from "../start/checkpoint.ts";
import { errnoName } from "../sys/errno.ts";
import { keepMountsHere, unshareMounts } from "../sys/mount-here.ts";
import { execve, exit } from "../sys/process/fork.ts";
import { warn } from "../sys/self.ts";
import { decodeName } from "../text/file-names.ts";
import { type Caller, readWanted, unclearArguments } from "./bundle.ts";
import { prepareContainer } from "./prepare.ts";
import { findRealRuntime, type RealRuntime } from "./real-runtime.ts";
import { stateBundle } from "./state-bundle.ts";

/**
 * Runs the wrapping runtime. `invoked` is the name by which it was called, `words` are its arguments as bytes. When
 * `veneer run` calls it, they begin with --veneer-store ROOT RUN CONFIG; an empty word means the default.
 */
export function wrapRuntime(
  invoked: string,
  words: readonly Uint8Array[],
  options: GlobalOptions = {},
): never {
  const own = ownWords(words, options);
  const rest = words.slice(own.count);
  let settings: Settings | undefined;
  let runtime: RealRuntime | undefined;
  let call: RuntimeCall | undefined;
  try {
    settings = readSettings(own.options);
    runtime = findRealRuntime(invoked, settings.config.runtimes, searchPath());
    const caller = { settings, runtime, byHand: own.byHand };
    const reading = readRuntimeArguments(runtime.name, rest.map(decodeName));
    if (reading.kind === "call") call = reading.call;
    if (reading.kind === "unclear" && reading.calls.some((one) => readWanted(caller, one))) {
      throw unclearArguments(reading.option);
    }
    if (call) prepare(caller, call);
    const failed = execve(runtime.path, [runtime.path, ...rest], host.environment(""));
    throw new VeneerError("NO_RUNTIME", `cannot start ${runtime.path}: ${errnoName(-failed)}`);
  } catch (error) {
    if (call) logEvent(settings?.config, { event: "error", engine: "runtime", container: call.id, error });
    if (call && runtime) reportToRuntimeLog(runtime.name, call, error);
    warn(`veneer: ${formatError(error)}`);
    return exit(1);
  }
}

function prepare(caller: Caller, call: RuntimeCall): void {
  if (call.command !== "checkpoint") {
    const wanted = readWanted(caller, call);
    if (wanted) prepareContainer(caller, call, wanted);
    return;
  }
  // for a checkpoint of a running container on a base, show its root at the path where runtimes expect it
  const { store } = caller.settings;
  const bundle = stateBundle(caller.runtime.name, call);
  const wanted = { container: call.id, ...(bundle !== undefined && { bundle }) };
  if (!hasHiddenRoot(store, wanted)) return;
  unshareMounts();
  keepMountsHere();
  showRoot(store, wanted);
}

function ownWords(
  words: readonly Uint8Array[],
  given: GlobalOptions,
): { count: number; options: GlobalOptions; byHand: boolean } {
  const options: GlobalOptions = { ...given };
  let count = 0;
  let byHand = false;
  while (words[count] && decodeName(words[count] as Uint8Array) === "--veneer-store") {
    const [root = "", run = "", config = ""] = words.slice(count + 1, count + 4).map(decodeName);
    if (root) options.root = root;
    if (run) options.run = run;
    if (config) options.config = config;
    byHand ||= root !== "";
    count += 4;
  }
  return { count, options, byHand };
}

/** PATH, the only environment variable of the caller that is read. */
function searchPath(): string | undefined {
  const [first] = host.environment("PATH=");
  return first && decodeName(first).slice("PATH=".length);
}
