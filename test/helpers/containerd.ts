/** A containerd of a test's own. */
import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { type Daemon, startDaemon } from "./daemon.ts";
import type { Host, Outcome } from "./host.ts";

export interface Containerd {
  readonly socket: string;
  readonly daemon: Daemon;
  ctr(...args: string[]): Promise<Outcome>;
  /** `ctr run` with the wrapping runtime; words are options, then the image, the id and the command */
  run(...args: string[]): Promise<Outcome>;
  stop(): Promise<void>;
}

const UNUSED = ["aufs", "btrfs", "devmapper", "zfs"].map((name) => `io.containerd.snapshotter.v1.${name}`);

/** Its configuration, with all that it writes below `dir`. */
export function containerdConfig(dir: string, cri?: string): string {
  const disabled = [...UNUSED, ...(cri === undefined ? ["io.containerd.grpc.v1.cri"] : [])];
  return `version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ${JSON.stringify(disabled)}
[grpc]
address = "${socketIn(dir)}"
[ttrpc]
address = "${socketIn(dir)}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "${dir}/opt"
${cri ?? ""}`;
}

const socketIn = (dir: string) => join(dir, "containerd.sock");

/** A directory for one start of a daemon, which roots of user namespaces may enter. */
export function makeDirectory(host: Host, daemon: string): string {
  const dir = mkdtempSync(join(host.dir, `${daemon}-`));
  chmodSync(dir, 0o755);
  return dir;
}

/** `cri`: TOML below plugins."io.containerd.grpc.v1.cri"; without it the plugin is off. */
export function startContainerd(host: Host, cri?: string): Promise<Containerd> {
  const dir = makeDirectory(host, "containerd");
  const config = join(dir, "config.toml");
  writeFileSync(config, containerdConfig(dir, cri));
  return runContainerd(host, dir, config);
}

/** Runs it on a file of {@link containerdConfig}; `enter` are words before the command, as of nsenter. */
export async function runContainerd(
  host: Host,
  dir: string,
  config: string,
  enter: readonly string[] = [],
): Promise<Containerd> {
  const socket = socketIn(dir);
  const ctr = (...args: string[]) => call(socket, host.path, args);
  // ctr leaves those of detached containers behind
  const fifos = ["--fifo-dir", join(dir, "fifo")];
  const daemon = await startDaemon(
    [...enter, "containerd", "--config", config],
    join(dir, "log"),
    async () => (await ctr("version")).status === 0,
    { PATH: host.path },
  );
  return {
    socket,
    daemon,
    ctr,
    run: (...args) => ctr("run", ...fifos, "--runc-binary", join(host.bin, "veneer-runc"), ...args),
    async stop() {
      for (const namespace of ["default", "k8s.io"]) await removeTasks(ctr, namespace);
      await daemon.stop();
    },
  };
}

/** ctr hands most signals on to the container: only SIGKILL ends it for certain. */
async function call(socket: string, path: string, args: readonly string[]): Promise<Outcome> {
  const result = await execa("ctr", ["--address", socket, ...args], {
    reject: false,
    timeout: 30_000,
    killSignal: "SIGKILL",
    env: { PATH: path },
    stdin: "ignore",
  });
  return {
    status: result.exitCode ?? 128,
    stdout: String(result.stdout),
    stderr: String(result.stderr ?? result.shortMessage),
  };
}

/** A shim lives as long as its task, and does not end with containerd. */
async function removeTasks(ctr: Containerd["ctr"], namespace: string): Promise<void> {
  const list = async () => {
    const { stdout } = await ctr("-n", namespace, "task", "ls", "-q");
    return stdout.split("\n").filter((id) => id !== "");
  };
  for (let left = 50; left > 0; left--) {
    const ids = await list();
    if (ids.length === 0) return;
    for (const id of ids) {
      await ctr("-n", namespace, "task", "kill", "-s", "KILL", id);
      await ctr("-n", namespace, "task", "rm", "-f", id);
    }
    await sleep(100);
  }
}
