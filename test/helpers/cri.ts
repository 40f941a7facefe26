/** containerd's CRI plugin, called as kubelet calls it. */
import { join } from "node:path";
import { type Client, credentials, loadPackageDefinition, type ServiceError } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { type Host, PROJECT } from "./host.ts";

type Call = (
  request: object,
  done: (error: ServiceError | null, reply: Record<string, unknown>) => void,
) => void;

export interface Cri {
  /** Calls a method; throws the service's error, whose message is what `kubectl describe` would show. */
  call<T = object>(method: string, request: object): Promise<T>;
  close(): void;
}

export function connectCri(socket: string): Cri {
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

/** Configuration of the plugin with a runtime handler `veneer`, as `veneer setup containerd` writes it. */
export function criConfig(host: Host): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `[${cri}]
sandbox_image = "localhost/pause:latest"
restrict_oom_score_adj = true
disable_apparmor = true
disable_cgroup = false
stream_server_port = "0"
[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.veneer]
runtime_type = "io.containerd.runc.v2"
pod_annotations = ["run.veneer.*"]
container_annotations = ["run.veneer.*"]
[${cri}.containerd.runtimes.veneer.options]
BinaryName = "${host.bin}/veneer-runc"
`;
}
