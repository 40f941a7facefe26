/** podman with a store, records and hooks of its own. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { label, makeImage } from "./app-image.ts";
import { type Host, must, type Outcome, PROJECT, type RunOptions, sh } from "./host.ts";
import { makeTree } from "./tree.ts";
import { waitFor } from "./wait.ts";

export const IMAGE = "localhost/app:1";

export interface Podman {
  /** `podman ARGS` */
  run(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Like `run`, but throws unless the status is 0; returns stdout. */
  ok(...args: string[]): Promise<string>;
  /** the environment by which any podman finds this store */
  readonly env: Record<string, string>;
  /** Puts one of the files in hooks/oci into the hooks directory, in place of the other. */
  useHook(directory: "hooks.d" | "precreate.d" | "none"): void;
  /** Removes all containers and waits until their monitors have ended. */
  removeAll(): Promise<void>;
}

/**
 * Containers get no resource limits: podman raises those of the root user, for which a test machine may lack
 * CAP_SYS_RESOURCE. A hook at precreate takes them out, so that ours is never the only one there.
 */
const NO_LIMITS = {
  version: "1.0.0",
  hook: { path: "/usr/bin/jq", args: ["jq", "-c", "del(.process.rlimits)"], env: ["PATH=/usr/bin:/bin"] },
  when: { always: true },
  stages: ["precreate"],
};

/**
 * Sets it up in the directory `name` with the image localhost/app:1, in which /etc/which says `image`.
 * `manager`: who makes control groups.
 */
export async function makePodman(
  host: Host,
  name = "podman",
  manager: "cgroupfs" | "systemd" = "cgroupfs",
): Promise<Podman> {
  const dir = join(host.dir, name);
  const hooks = join(dir, "hooks.d");
  mkdirSync(hooks, { recursive: true });
  const storage = { graphroot: join(dir, "graph"), runroot: join(dir, "run") };
  const files = { CONTAINERS_STORAGE_CONF: join(dir, "storage.conf"), CONTAINERS_CONF: join(dir, "conf") };
  writeFileSync(
    files.CONTAINERS_STORAGE_CONF,
    `[storage]\ndriver = "overlay"\ngraphroot = "${storage.graphroot}"\nrunroot = "${storage.runroot}"\n`,
  );
  writeFileSync(
    files.CONTAINERS_CONF,
    `[engine]
cgroup_manager = "${manager}"
events_logger = "file"
tmp_dir = "${join(dir, "tmp")}"
num_locks = 64
lock_type = "file"
hooks_dir = ["${hooks}"]
runtime = "runc"
runtime_supports_json = ["runc", "crun", "veneer-runc", "veneer-crun"]
[network]
network_config_dir = "${join(dir, "networks")}"
`,
  );
  writeFileSync(join(hooks, "00-no-limits.json"), JSON.stringify(NO_LIMITS));
  const archive = await makeImage(dir, "app", label(makeTree(join(dir, "tree")), "image"), [
    "--config.cmd",
    "/bin/sh",
  ]);
  const store = `[overlay@${storage.graphroot}+${storage.runroot}]`;
  await must("skopeo", [
    "copy",
    "-q",
    `oci-archive:${archive}:latest`,
    `containers-storage:${store}${IMAGE}`,
  ]);
  const env = { ...files, PATH: host.path, HOME: dir, PODMAN_IGNORE_CGROUPSV1_WARNING: "1" };
  const run = (args: readonly string[], options: RunOptions = {}) => sh("podman", args, { ...options, env });
  const ours = join(hooks, "veneer.json");
  return {
    run,
    ok: (...args) => must("podman", args, { env }),
    env,
    useHook(directory) {
      rmSync(ours, { force: true });
      if (directory === "none") return;
      const text = readFileSync(join(PROJECT, "hooks/oci", directory, "veneer.json"), "utf8");
      writeFileSync(ours, text.replace('"/usr/bin/veneer"', JSON.stringify(join(host.bin, "veneer"))));
    },
    async removeAll() {
      await run(["pod", "rm", "-fa", "-t", "0"]);
      await run(["rm", "-fa", "-t", "0"]);
      await waitFor(() => monitors(dir).length === 0);
    },
  };
}

/** Processes of podman's (conmon and what it starts) that name the directory. */
export function monitors(dir: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        const named = /(^|\/)(conmon|podman)$/.test(command[0] ?? "") && command.join(" ").includes(dir);
        return named ? [command.join(" ")] : [];
      } catch {
        return [];
      }
    });
}

/** The ways in which podman lets a container have a base. */
export interface Way {
  readonly name: string;
  readonly runtime: string;
  readonly hook: "hooks.d" | "precreate.d" | "none";
}

export function ways(host: Host): Way[] {
  // not /usr/bin/crun where the host has a wrapper for it
  const crun = join(host.bin, "crun");
  const plain = { runc: "runc", crun: readdirSync(host.bin).includes("crun") ? crun : "crun" };
  return [
    { name: "veneer-runc", runtime: join(host.bin, "veneer-runc"), hook: "none" },
    { name: "veneer-crun", runtime: join(host.bin, "veneer-crun"), hook: "none" },
    { name: "createRuntime with runc", runtime: plain.runc, hook: "hooks.d" },
    { name: "createRuntime with crun", runtime: plain.crun, hook: "hooks.d" },
    { name: "precreate with runc", runtime: plain.runc, hook: "precreate.d" },
    { name: "precreate with crun", runtime: plain.crun, hook: "precreate.d" },
  ];
}
