/** How to stop and start a container with the commands of its engine. Pure. */
import type { UseRecord } from "../store/records.ts";

export interface RestartPlan {
  /** name for messages: `podman` */
  readonly engine: string;
  /** program and arguments */
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** a command that prints `true` when the engine removes the container as soon as it stops */
  readonly autoRemove?: readonly string[];
}

/**
 * Recognizes LXC by the configuration file in the record, podman and Docker by where they keep bundles. Undefined for
 * containers of a bare runtime, and for engines that another program tells what to start.
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
