/** A node of a cluster: a mount namespace with its own /etc, /opt, /run and /var/lib, and the DaemonSet's pod on it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Daemonset } from "./daemonset.ts";
import { must, type Outcome, PROJECT, sh } from "./host.ts";

export interface Node {
  /** what the node has at /, as far as it is its own: etc, opt, run, var-lib */
  readonly dir: string;
  /** what the ConfigMap holds: one file a key */
  readonly settings: string;
  /** words before a command that runs it on the node */
  readonly enter: readonly string[];
  /** Runs the DaemonSet's script as its container does: capabilities, directories, read-only root. */
  script(verb: string): Promise<Outcome>;
  /** The same, but throws unless it succeeds. */
  ok(verb: string): Promise<Outcome>;
  /** Starts it so, in the background. */
  start(verb: string): ChildProcess;
  stop(): void;
}

const OWN = ["opt", "run", "var-lib"];

/** `tasks`: where the node's containerd keeps its tasks. */
export async function startNode(dir: string, daemonset: Daemonset, tasks: string): Promise<Node> {
  for (const name of OWN) mkdirSync(join(dir, name), { recursive: true });
  await must("cp", ["-a", "/etc", join(dir, "etc")]);
  const settings = join(dir, "settings");
  const secret = join(dir, "secret");
  const pod = join(dir, "pod");
  for (const path of [settings, secret, pod]) mkdirSync(path);
  const binds = ["etc", ...OWN].map((name) => `mount --bind ${dir}/${name} /${name.replace("-", "/")}`);
  const first = spawn("unshare", [
    ...["-m", "--propagation", "private", "sh", "-c"],
    `${binds.join(" && ")} && echo ready && exec cat`,
  ]);
  await new Promise<void>((resolve, reject) => {
    first.stdout.once("data", () => resolve());
    first.once("exit", (status) => reject(new Error(`the node did not come up: status ${status}`)));
  });
  // where kubelet mounts the volumes; what the image has is this machine's
  const volumes = daemonset.hostPaths.map((path) => {
    mkdirSync(join(dir, path.replace("/var/lib", "/var-lib")), { recursive: true });
    return `mkdir -p ${pod}${path} && mount --bind ${dir}${path.replace("/var/lib", "/var-lib")} ${pod}${path}`;
  });
  const inside = [
    ...volumes,
    ...["/opt", "/var/lib"].map((path) => `mount --rbind ${pod}${path} ${path}`),
    "mount -t tmpfs run /run",
    "mount -o remount,bind,ro /",
  ];
  const capabilities = daemonset.capabilities.map((name) => `,+${name.toLowerCase()}`).join("");
  const limit = `setpriv --inh-caps=-all --bounding-set=-all${capabilities}`;
  const words = (verb: string) => [
    ...["-m", "--propagation", "private", "sh", "-c"],
    `set -e; ${inside.join("; ")}; exec ${limit} -- /bin/sh ${PROJECT}/hooks/kubernetes/node.sh "$@"`,
    ...["sh", verb],
  ];
  const env = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    VENEER_FROM: join(PROJECT, "dist"),
    VENEER_SETTINGS: settings,
    VENEER_REGISTRY: secret,
    VENEER_INIT: `${first.pid}`,
    VENEER_TASKS: tasks,
  };
  return {
    dir,
    settings,
    enter: ["nsenter", `--mount=/proc/${first.pid}/ns/mnt`, "--"],
    script: (verb) => sh("unshare", words(verb), { env }),
    async ok(verb) {
      const outcome = await sh("unshare", words(verb), { env });
      if (outcome.status !== 0) throw new Error(`${verb}: status ${outcome.status}: ${outcome.stderr}`);
      return outcome;
    },
    start: (verb) => spawn("unshare", words(verb), { env, stdio: "ignore" }),
    stop: () => void first.stdin.end(),
  };
}

/** Puts the ConfigMap's keys in place. */
export function configure(node: Node, settings: Readonly<Record<string, string>>): void {
  for (const [key, text] of Object.entries(settings)) writeFileSync(join(node.settings, key), text);
}
