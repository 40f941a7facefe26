/** How a container is stopped and started again by the engine that it is of. Pure. */
import type { UseRecord } from "../store/records.ts";

export interface RestartPlan {
  /** for messages: `podman` */
  readonly engine: string;
  /** program and arguments */
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** prints `true` for a container that goes when it stops */
  readonly autoRemove?: readonly string[];
}

/**
 * Told by the record: LXC by the configuration file, podman and Docker by where they keep their bundles. Undefined
 * for containers of a runtime alone, and of engines that are told from outside what to start.
 */
export function restartPlan({ engine, container, bundle = "" }: UseRecord): RestartPlan | undefined {
  if (container === undefined) return undefined;
  if (engine === "lxc") {
    const suffix = `/${container}/config`;
    if (!bundle.endsWith(suffix)) return undefined;
    const where = ["-P", bundle.slice(0, -suffix.length) || "/", "-n", container];
    return { engine: "LXC", stop: ["lxc-stop", ...where], start: ["lxc-start", ...where] };
  }
  if (bundle.endsWith(`-containers/${container}/userdata`)) return client("podman", container);
  if (bundle.endsWith(`/io.containerd.runtime.v2.task/moby/${container}`)) return client("docker", container);
  return undefined;
}

function client(engine: "podman" | "docker", container: string): RestartPlan {
  return {
    engine,
    stop: [engine, "stop", container],
    start: [engine, "start", container],
    autoRemove: [engine, "inspect", "--format", "{{.HostConfig.AutoRemove}}", container],
  };
}
