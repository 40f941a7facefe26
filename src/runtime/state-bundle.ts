/** Where the real runtime says that a container's bundle is. */
import type { RuntimeCall } from "../request/runtime-args.ts";
import { readRuntimeState } from "../request/runtime-state.ts";
import { geteuid } from "../sys/process.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";

/** Undefined where the runtime keeps its state elsewhere, or in another form. */
export function stateBundle(runtime: string, { id, root }: RuntimeCall): string | undefined {
  // without root the default depends on the environment
  const directory = root ?? (geteuid() === 0 && !inUserNamespace() ? `/run/${runtime}` : undefined);
  if (directory === undefined || id.includes("/")) return undefined;
  return readRuntimeState(runtime, `${directory}/${id}`)?.bundle;
}
