/** Where the real runtime says that a container's bundle is. */
import type { RuntimeCall } from "../request/runtime-args.ts";
import { readText } from "../sys/fd.ts";
import { geteuid } from "../sys/process.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";

/** The file in which a runtime keeps a container's state, and the bundle in it. */
const STATES: Readonly<Record<string, { readonly file: string; bundle(state: unknown): unknown }>> = {
  runc: {
    file: "state.json",
    bundle(state) {
      const labels = (state as { config?: { labels?: unknown } } | null)?.config?.labels;
      const label = (Array.isArray(labels) ? labels : []).find((one) => String(one).startsWith("bundle="));
      return label === undefined ? undefined : String(label).slice("bundle=".length);
    },
  },
  crun: { file: "status", bundle: (state) => (state as { bundle?: unknown } | null)?.bundle },
};

/** Undefined where the runtime keeps its state elsewhere, or in another form. */
export function stateBundle(runtime: string, { id, root }: RuntimeCall): string | undefined {
  const state = Object.hasOwn(STATES, runtime) ? STATES[runtime] : undefined;
  // without root the default depends on the environment
  const directory = root ?? (geteuid() === 0 && !inUserNamespace() ? `/run/${runtime}` : undefined);
  if (state === undefined || directory === undefined || id.includes("/")) return undefined;
  try {
    const bundle = state.bundle(JSON.parse(readText(`${directory}/${id}/${state.file}`) ?? ""));
    return typeof bundle === "string" && bundle.startsWith("/") ? bundle : undefined;
  } catch {
    return undefined;
  }
}
