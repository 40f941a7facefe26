/** An LXD of a test's own: a daemon with a pool of directories, and an image that is an empty root. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import { type Host, must, type Outcome, sh } from "./host.ts";

export interface Lxd {
  /** a container's configuration as LXD writes it for LXC */
  config(name: string): string;
  /** The client, `lxc`. */
  client(...args: string[]): Promise<Outcome>;
  /** Like `client`, but throws unless the status is 0; returns stdout. */
  ok(...args: string[]): Promise<string>;
  /** Removes all containers and ends the daemon. */
  stop(): Promise<void>;
}

/** Why it cannot be tested here; undefined where it can. */
export function lxdIsMissing(): string | undefined {
  const there = existsSync("/usr/bin/lxd") && existsSync("/usr/bin/lxc");
  return there || process.env.CI ? undefined : "LXD is not installed (package lxd of Debian 12)";
}

const PRESEED = `
config: {}
storage_pools: [{name: default, driver: dir, config: {}}]
profiles: [{name: default, devices: {root: {path: /, pool: default, type: disk}}}]
`;

export async function startLxd(host: Host, env: Record<string, string> = {}): Promise<Lxd> {
  const dir = join(host.dir, "lxd");
  const home = join(host.dir, "home");
  mkdirSync(dir, { recursive: true });
  mkdirSync(home, { recursive: true });
  const own = { PATH: host.path, LXD_DIR: dir, HOME: home };
  const ready = async () => (await sh("lxd", ["waitready", "--timeout", "5"], { env: own })).status === 0;
  const daemon = await startDaemon(["lxd", "--group", "root"], join(host.dir, "lxd.log"), ready, {
    ...own,
    ...env,
  });
  // what stands on its standard input is read as a part of the configuration
  const client = (...args: string[]) => sh("lxc", args, { env: own, input: "" });
  const ok = (...args: string[]) => must("lxc", args, { env: own, input: "" });
  await must("lxd", ["init", "--preseed"], { env: own, input: PRESEED });
  const image = join(host.dir, "image");
  mkdirSync(join(image, "rootfs"), { recursive: true });
  const metadata = "architecture: x86_64\ncreation_date: 1700000000\nproperties: {description: empty}\n";
  writeFileSync(join(image, "metadata.yaml"), metadata);
  const archive = join(host.dir, "image.tar");
  await must("tar", ["-C", image, "-cf", archive, "metadata.yaml", "rootfs"]);
  await ok("image", "import", archive, "--alias", "empty");
  return {
    config: (name) => join(dir, "logs", name, "lxc.conf"),
    client,
    ok,
    async stop() {
      const { stdout } = await client("list", "--format", "csv", "-c", "n");
      for (const name of stdout.split("\n").filter((line) => line !== "")) await client("delete", "-f", name);
      await daemon.stop();
      for (const mount of ["devlxd", "shmounts"]) await sh("umount", ["-l", join(dir, mount)]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
