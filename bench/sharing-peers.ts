/** The same systems as images of podman and Docker, which share a file only where images share the layer that it is in. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startDocker } from "../test/helpers/docker.ts";
import { type Host, must } from "../test/helpers/host.ts";
import { makePodman } from "../test/helpers/podman.ts";
import { has, PATH } from "./context.ts";

export interface Amounts {
  /** bytes */
  readonly disk: number;
  /** bytes */
  readonly cache: number;
}

/** Reads every file of the system that a container runs on. */
export const READ = ["/bin/sh", "-c", "find /usr -type f -exec cat {} + >/dev/null"];

/** Bytes that directories take on disk, each file once. */
export function onDisk(...directories: readonly string[]): number {
  return execFileSync("du", ["-scxB1", ...directories], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((line) => Number(line.split("\t")[0]))
    .at(-1) as number;
}

/** What the page cache holds more after `read`, from an empty one. */
export async function cachedBy(cached: () => number, read: () => Promise<void> | void): Promise<number> {
  execFileSync("sync");
  writeFileSync("/proc/sys/vm/drop_caches", "3");
  const before = cached();
  await read();
  return cached() - before;
}

const hostIn = (dir: string): Host => {
  mkdirSync(join(dir, "bin"), { recursive: true });
  return { dir, bin: join(dir, "bin"), root: join(dir, "store"), run: join(dir, "run"), path: PATH } as Host;
};

const archive = (system: string) => execFileSync("tar", ["-C", system, "-cf", `${system}.tar`, "."]);

/** Undefined where podman, or what the tests' store needs, is not installed. */
export async function measurePodman(
  dir: string,
  systems: readonly string[],
  cached: () => number,
): Promise<Amounts | undefined> {
  if (["podman", "skopeo", "umoci", "jq"].some((program) => !has(program))) return undefined;
  const podman = await makePodman(hostIn(join(dir, "podman-host")));
  try {
    const store = join(dir, "podman-host/podman/graph/overlay");
    const before = onDisk(store);
    for (const [index, system] of systems.entries()) {
      archive(system);
      await podman.ok("import", "-q", `${system}.tar`, `localhost/system${index}`);
    }
    const disk = onDisk(store) - before;
    const cache = await cachedBy(cached, async () => {
      for (const index of systems.keys())
        await podman.ok("run", "--rm", "--network", "none", `localhost/system${index}`, ...READ);
    });
    return { disk, cache };
  } finally {
    await podman.removeAll();
  }
}

/** Undefined where Docker is not installed. */
export async function measureDocker(
  dir: string,
  systems: readonly string[],
  cached: () => number,
): Promise<Amounts | undefined> {
  if (["dockerd", "docker", "containerd"].some((program) => !has(program))) return undefined;
  const engine = await startDocker(hostIn(join(dir, "docker-host")));
  const docker = async (...args: string[]) => {
    const { status, stderr } = await engine.docker(...args);
    if (status !== 0) throw new Error(`docker ${args[0]}: ${stderr}`);
  };
  try {
    const store = join(engine.dataRoot, "overlay2");
    const before = onDisk(store);
    for (const [index, system] of systems.entries()) {
      archive(system);
      await docker("import", `${system}.tar`, `system${index}`);
    }
    const disk = onDisk(store) - before;
    const cache = await cachedBy(cached, async () => {
      for (const index of systems.keys()) {
        const limits = ["--ulimit", "nofile=1024:1024"];
        await docker("run", "--rm", "--network", "none", ...limits, `system${index}`, ...READ);
      }
    });
    return { disk, cache };
  } finally {
    await engine.stop();
    await must("sh", ["-c", `umount -l "$1"/*/* 2>/dev/null; true`, "sh", join(dir, "docker-host/docker")]);
  }
}
