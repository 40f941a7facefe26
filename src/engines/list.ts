/** The engines that `setup` knows. */
import { type EngineSetup, ownFile } from "./engine.ts";
import { jsonKey } from "./json-file.ts";
import { notUnderstood } from "./not-understood.ts";
import { podman } from "./podman.ts";
import { tomlTable } from "./toml-file.ts";

const docker: EngineSetup = {
  name: "docker",
  changes: ({ etc, bin }) => [
    jsonKey(`${etc}/docker/daemon.json`, ["runtimes", "veneer"], { path: `${bin}/veneer-runc` }),
  ],
  restart: "systemctl reload docker",
  use: "docker run --runtime veneer --annotation run.veneer.base=NAME IMAGE",
};

const containerd: EngineSetup = {
  name: "containerd",
  changes: ({ etc, bin }) => [
    tomlTable(
      `${etc}/containerd/config.toml`,
      freshContainerd(bin),
      (document) => ["plugins", criPlugin(document, etc), "containerd", "runtimes", "veneer"],
      ({ runc }) => likeRunc(runc, `${bin}/veneer-runc`),
      { runc: { runtime_type: "io.containerd.runc.v2" } },
    ),
  ],
  restart: "systemctl restart containerd",
  use: "a RuntimeClass with handler veneer; or ctr run --runc-binary veneer-runc --annotation run.veneer.base=NAME",
};

/**
 * Copies the handler of runc, with another program and our annotations. SystemdCgroup above all must be the same, or
 * pods run outside of the cgroups that kubelet created for them.
 */
function likeRunc(runc: unknown, program: string): { [key: string]: unknown } {
  const table = isTable(runc) ? runc : {};
  const options = isTable(table.options) ? table.options : {};
  return {
    ...table,
    runtime_type: "io.containerd.runc.v2",
    pod_annotations: ["run.veneer.*"],
    container_annotations: ["run.veneer.*"],
    options: { ...options, BinaryName: program },
  };
}

function isTable(value: unknown): value is { [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function freshContainerd(bin: string): string {
  const runtimes = 'plugins."io.containerd.grpc.v1.cri".containerd.runtimes';
  return `version = 2

[${runtimes}.runc]
runtime_type = "io.containerd.runc.v2"

[${runtimes}.veneer]
runtime_type = "io.containerd.runc.v2"
pod_annotations = ["run.veneer.*"]
container_annotations = ["run.veneer.*"]

[${runtimes}.veneer.options]
BinaryName = "${bin}/veneer-runc"
`;
}

/** The name of the CRI plugin, which depends on the version of the file (containerd, docs/cri/config.md). */
function criPlugin(document: { readonly version?: unknown }, etc: string): string {
  switch (document.version) {
    case 2:
      return "io.containerd.grpc.v1.cri";
    case 3:
      return "io.containerd.cri.v1.runtime";
    default:
      throw notUnderstood(`${etc}/containerd/config.toml`, "it is not of version 2 or 3");
  }
}

const crio: EngineSetup = {
  name: "crio",
  changes: ({ etc, bin }) => [
    ownFile(
      `${etc}/crio/crio.conf.d/50-veneer.conf`,
      `[crio.runtime.runtimes.veneer]\nruntime_path = "${bin}/veneer-runc"\nruntime_type = "oci"\n`,
    ),
  ],
  restart: "systemctl restart crio",
  use: "a RuntimeClass with handler veneer",
};

export const ENGINES: readonly EngineSetup[] = [podman, docker, containerd, crio];
