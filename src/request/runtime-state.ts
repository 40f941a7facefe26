/** The files in which runtimes keep the state of a container; `directory` is the container's, below their --root. */
import { readText } from "../sys/fd.ts";

/** What of a state is used here; absent where the runtime keeps it in another form. */
export interface RuntimeState {
  /** of the first process */
  readonly pid?: number;
  readonly bundle?: string;
}

const STATES: Readonly<Record<string, { readonly file: string; read(state: Fields): RuntimeState }>> = {
  runc: {
    file: "state.json",
    read: ({ init_process_pid: pid, config }) => ({ ...pidOf(pid), ...bundleOf(bundleLabel(config)) }),
  },
  crun: { file: "status", read: ({ pid, bundle }) => ({ ...pidOf(pid), ...bundleOf(bundle) }) },
};

type Fields = Readonly<Record<string, unknown>>;

/** Undefined for a runtime that keeps its state elsewhere, and where there is none, or none that can be read. */
export function readRuntimeState(runtime: string, directory: string): RuntimeState | undefined {
  const form = Object.hasOwn(STATES, runtime) ? STATES[runtime] : undefined;
  if (!form) return undefined;
  try {
    return form.read(JSON.parse(readText(`${directory}/${form.file}`) ?? "") as Fields);
  } catch {
    return undefined;
  }
}

function pidOf(pid: unknown): Pick<RuntimeState, "pid"> {
  return typeof pid === "number" && pid > 0 ? { pid } : {};
}

function bundleOf(bundle: unknown): Pick<RuntimeState, "bundle"> {
  return typeof bundle === "string" && bundle.startsWith("/") ? { bundle } : {};
}

function bundleLabel(config: unknown): string | undefined {
  const labels = (config as { labels?: unknown } | null | undefined)?.labels;
  const label = (Array.isArray(labels) ? labels : []).find((one) => String(one).startsWith("bundle="));
  return label === undefined ? undefined : String(label).slice("bundle=".length);
}
