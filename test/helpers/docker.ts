/** A Docker daemon of a test's own, with `veneer` as a runtime of it. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Containerd, makeDirectory, startContainerd } from "./containerd.ts";
import { type Daemon, startDaemon } from "./daemon.ts";
import { type Host, type Outcome, PROJECT, sh } from "./host.ts";

export interface Docker {
  docker(...args: string[]): Promise<Outcome>;
  /** `docker run --runtime veneer --network none` */
  run(...args: string[]): Promise<Outcome>;
  /** for DOCKER_HOST */
  readonly socket: string;
  /** where it keeps its containers */
  readonly dataRoot: string;
  /** Writes the configuration that the runtime reads from now on. */
  configure(config: object): void;
  /** Ends the daemon and starts it again. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Debian's client: another one on PATH may be too new for the daemon. */
export const CLIENT = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";

/** `daemonConfig`: more of daemon.json */
export async function startDocker(host: Host, daemonConfig: object = {}): Promise<Docker> {
  const dir = makeDirectory(host, "docker");
  const containerd = await startContainerd(host);
  const socket = `unix://${dir}/docker.sock`;
  const config = join(dir, "veneer.json");
  const runtime = {
    path: join(PROJECT, "dist/veneer-runc"),
    // Docker writes these words into a shell script as they are
    runtimeArgs: ["--veneer-store", "''", "''", config],
  };
  writeFileSync(join(dir, "daemon.json"), JSON.stringify({ runtimes: { veneer: runtime }, ...daemonConfig }));
  const store = { root: host.root, run: host.run };
  const configure = (content: object) => writeFileSync(config, JSON.stringify({ ...store, ...content }));
  configure({});
  const docker = (...args: string[]) =>
    sh(CLIENT, args, { env: { PATH: host.path, DOCKER_HOST: socket, DOCKER_CONFIG: dir } });
  const start = () =>
    startDaemon(commandOf(dir, socket, containerd), join(dir, "log"), ready, { PATH: host.path });
  const ready = async () => (await docker("version")).status === 0;
  let daemon: Daemon = await start().catch(async (error) => {
    await containerd.stop();
    throw error;
  });
  return {
    docker,
    run: (...args) => docker("run", "--runtime", "veneer", "--network", "none", ...args),
    socket,
    dataRoot: join(dir, "data"),
    configure,
    async restart() {
      await daemon.stop();
      daemon = await start();
    },
    async stop() {
      const { stdout } = await docker("ps", "-aq");
      const ids = stdout.split("\n").filter((id) => id !== "");
      if (ids.length > 0) await docker("rm", "-f", ...ids);
      await daemon.stop();
      await containerd.stop();
    },
  };
}

function commandOf(dir: string, socket: string, containerd: Containerd): string[] {
  const options = ["--bridge=none", "--iptables=false", "--ip6tables=false"];
  options.push("--config-file", join(dir, "daemon.json"), "--host", socket);
  options.push("--containerd", containerd.socket, "--data-root", join(dir, "data"));
  options.push("--exec-root", join(dir, "exec"), "--pidfile", join(dir, "pid"));
  return ["dockerd", ...options];
}
