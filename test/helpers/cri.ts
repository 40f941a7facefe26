/** containerd's CRI plugin, called as kubelet calls it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Client, credentials, loadPackageDefinition, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { label, makeImage } from "./app-image.ts";
import { type Containerd, makeDirectory, startContainerd } from "./containerd.ts";
import { type Host, PROJECT } from "./host.ts";
import { makeTree } from "./tree.ts";
import { waitFor } from "./wait.ts";

type Call = (
  request: object,
  done: (error: ServiceError | null, reply: Record<string, unknown>) => void,
) => void;

export interface Cri {
  /** Calls a method; throws the service's error, whose message is what `kubectl describe` would show. */
  call<T = object>(method: string, request: object): Promise<T>;
  close(): void;
}

/** Connects, and waits until the plugin answers. */
export async function connectCri(socket: string): Promise<Cri> {
  const cri = connect(socket);
  await waitFor(() =>
    cri.call("Version", {}).then(
      () => true,
      () => false,
    ),
  );
  return cri;
}

function connect(socket: string): Cri {
  const file = join(PROJECT, "test/fixtures/cri.proto");
  const loaded = loadPackageDefinition(loadSync(file, { keepCase: true, enums: String, longs: Number }));
  // biome-ignore lint/suspicious/noExplicitAny: the package is made at run time from the file
  const { RuntimeService } = (loaded as any).runtime.v1;
  const client: Client & Record<string, Call> = new RuntimeService(
    `unix://${socket}`,
    credentials.createInsecure(),
  );
  return {
    call: (method, request) =>
      new Promise((resolve, reject) => {
        client[method]?.(request, (error, reply) => (error ? reject(error) : resolve(reply as never)));
      }),
    close: () => client.close(),
  };
}

const PLUGIN = 'plugins."io.containerd.grpc.v1.cri"';

/** Configuration of the plugin with runc alone. */
export const CRI_CONFIG = `[${PLUGIN}]
sandbox_image = "localhost/pause:latest"
restrict_oom_score_adj = true
disable_apparmor = true
disable_cgroup = false
stream_server_port = "0"
[${PLUGIN}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
`;

/** Configuration of the plugin with a runtime handler `veneer`, as `veneer setup containerd` writes it. */
export function criConfig(host: Host): string {
  return `${CRI_CONFIG}[${PLUGIN}.containerd.runtimes.veneer]
runtime_type = "io.containerd.runc.v2"
pod_annotations = ["run.veneer.*"]
container_annotations = ["run.veneer.*"]
[${PLUGIN}.containerd.runtimes.veneer.options]
BinaryName = "${host.bin}/veneer-runc"
`;
}

/** Imports localhost/pause and localhost/app, both of the tree `image`. */
export async function importPodImages(host: Host, containerd: Containerd, image: string): Promise<void> {
  for (const [name, command] of [
    ["pause", "sleep"],
    ["app", "sh"],
  ] as const) {
    const config = ["--config.cmd", `/bin/${command}`, "--config.cmd", "100000"];
    const archive = await makeImage(host.dir, name, image, config);
    await containerd.ctr("-n", "k8s.io", "image", "import", "--base-name", `localhost/${name}`, archive);
  }
}

export interface Pods {
  readonly containerd: Containerd;
  readonly cri: Cri;
  readonly makePod: ReturnType<typeof podMaker>;
  stop(): Promise<void>;
}

/** A containerd of this configuration, and pods of an image that is labelled `image`. */
export async function startPods(host: Host, config: string): Promise<Pods> {
  const place = { ...host, dir: makeDirectory(host, "pods") };
  const logs = join(place.dir, "logs");
  mkdirSync(logs);
  const containerd = await startContainerd(place, config);
  try {
    await importPodImages(place, containerd, label(makeTree(join(place.dir, "image")), "image"));
    const cri = await connectCri(containerd.socket);
    const stop = async () => {
      cri.close();
      await containerd.stop();
    };
    return { containerd, cri, makePod: podMaker(cri, logs), stop };
  } catch (error) {
    await containerd.stop();
    throw error;
  }
}

export interface Pod {
  readonly id: string;
  /** Creates and starts a container, with these devices of CDI; returns its id. */
  start(
    name: string,
    command: string,
    annotations?: Record<string, string>,
    devices?: readonly string[],
  ): Promise<string>;
  /** stdout of a command in a container */
  exec(container: string, ...cmd: string[]): Promise<string>;
  /** path of a container's output */
  log(name: string): string;
  remove(): Promise<void>;
}

let count = 0;

/** Makes pods in the host's network, with the runtime class `handler`; their output goes to files in `logs`. */
export function podMaker(cri: Cri, logs: string) {
  return async (handler: string, annotations: Record<string, string>): Promise<Pod> => {
    const name = `pod${++count}`;
    const namespace_options = { network: "NODE", pid: "CONTAINER" };
    const config = {
      metadata: { name, uid: `${name}-${process.pid}`, namespace: "default", attempt: 0 },
      log_directory: logs,
      annotations,
      linux: { cgroup_parent: "", security_context: { namespace_options } },
    };
    const request = { config, runtime_handler: handler };
    const { pod_sandbox_id } = await cri.call<{ pod_sandbox_id: string }>("RunPodSandbox", request);
    return {
      id: pod_sandbox_id,
      async start(container, command, own = {}, devices = []) {
        const created = await cri.call<{ container_id: string }>("CreateContainer", {
          pod_sandbox_id,
          sandbox_config: config,
          config: {
            metadata: { name: container, attempt: 0 },
            image: { image: "localhost/app:latest" },
            command: ["/bin/sh", "-c", command],
            annotations: own,
            CDI_devices: devices.map((device) => ({ name: device })),
            log_path: `${name}-${container}.log`,
            linux: { security_context: { namespace_options } },
          },
        });
        await cri.call("StartContainer", created);
        return created.container_id;
      },
      log: (container) => join(logs, `${name}-${container}.log`),
      async exec(container_id, ...cmd) {
        const reply = await cri.call<{ stdout?: Buffer }>("ExecSync", { container_id, cmd, timeout: 10 });
        return reply.stdout?.toString() ?? "";
      },
      async remove() {
        await cri.call("StopPodSandbox", { pod_sandbox_id });
        await cri.call("RemovePodSandbox", { pod_sandbox_id });
      },
    };
  };
}
