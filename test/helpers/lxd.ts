/** An LXD or Incus of a test's own: a daemon with a pool of directories, and an image that is an empty root. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startDaemon } from "./daemon.ts";
import { type Host, must, type Outcome, sh } from "./host.ts";
import { makeTree } from "./tree.ts";
import { waitFor } from "./wait.ts";

export interface Kind {
  readonly name: "LXD" | "Incus";
  readonly daemon: string;
  readonly client: string;
  readonly ready: readonly string[];
  readonly init: readonly string[];
  /** names its directory */
  readonly variable: string;
  /** where it is among Debian's packages */
  readonly from: string;
}

export const KINDS: readonly Kind[] = [
  {
    name: "LXD",
    daemon: "/usr/bin/lxd",
    client: "lxc",
    ready: ["lxd", "waitready", "--timeout", "5"],
    init: ["lxd", "init", "--preseed"],
    variable: "LXD_DIR",
    from: "lxd of Debian 12",
  },
  {
    name: "Incus",
    daemon: "/usr/libexec/incus/incusd",
    client: "incus",
    ready: ["incus", "admin", "waitready", "--timeout", "5"],
    init: ["incus", "admin", "init", "--preseed"],
    variable: "INCUS_DIR",
    from: "incus-base of Debian 13",
  },
];

export interface Lxd {
  /** by which a client finds the daemon */
  readonly env: Readonly<Record<string, string>>;
  /** The client: `lxc` or `incus`. */
  client(...args: string[]): Promise<Outcome>;
  /** Like `client`, but throws unless the status is 0; returns stdout. */
  ok(...args: string[]): Promise<string>;
  /** The log of a container's last start. Incus does not know for a moment what became of one that failed. */
  log(name: string): Promise<string>;
  /** Removes all containers and ends the daemon. */
  stop(): Promise<void>;
}

/** Whether it is there. */
export function hasKind({ daemon }: Kind): boolean {
  return existsSync(daemon);
}

/** Why no container starts on this machine, with us or without; undefined where that is not so. */
export async function whyNoContainers(kind: Kind, host: Host, lxd: Lxd): Promise<string | undefined> {
  const rootfs = join(host.dir, kind.name.toLowerCase(), "storage-pools/default/containers/plain/rootfs");
  const options = ["security.privileged=true", "raw.lxc=lxc.init.cmd = /bin/sleep 1000"];
  await lxd.ok("init", "empty", "plain", ...options.flatMap((option) => ["-c", option]));
  rmSync(rootfs, { recursive: true });
  makeTree(rootfs);
  const { status } = await lxd.client("start", "plain");
  const log = status === 0 ? "" : await lxd.log("plain");
  await lxd.ok("delete", "-f", "plain");
  return /Unsupported cgroup layout/.test(log) ? `${kind.name} wants control groups of version 2` : undefined;
}

const PRESEED = `
config: {}
storage_pools: [{name: default, driver: dir, config: {}}]
profiles: [{name: default, devices: {root: {path: /, pool: default, type: disk}}}]
`;

export async function startLxd(kind: Kind, host: Host): Promise<Lxd> {
  const dir = join(host.dir, kind.name.toLowerCase());
  const home = join(host.dir, "home");
  for (const path of [dir, home]) mkdirSync(path, { recursive: true });
  const env = { PATH: host.path, [kind.variable]: dir, HOME: home };
  const run = ([file = "", ...args]: readonly string[], input = "") => sh(file, args, { env, input });
  const ready = async () => (await run(kind.ready)).status === 0;
  const output = join(host.dir, `${kind.name}.log`);
  const daemon = await startDaemon([kind.daemon, "--group", "root"], output, ready, env);
  await must(kind.init[0] as string, kind.init.slice(1), { env, input: PRESEED });
  // what stands on its standard input is read as a part of the configuration
  const client = (...args: string[]) => run([kind.client, ...args]);
  const ok = (...args: string[]) => must(kind.client, args, { env, input: "" });
  const image = join(host.dir, "image");
  mkdirSync(join(image, "rootfs"), { recursive: true });
  const metadata = "architecture: x86_64\ncreation_date: 1700000000\nproperties: {description: empty}\n";
  writeFileSync(join(image, "metadata.yaml"), metadata);
  const archive = join(host.dir, "image.tar");
  await must("tar", ["-C", image, "-cf", archive, "metadata.yaml", "rootfs"]);
  await ok("image", "import", archive, "--alias", "empty");
  const log = async (name: string) => {
    let shown: Outcome | undefined;
    await waitFor(async () => {
      shown = await client("info", name, "--show-log");
      return shown.status === 0;
    });
    return shown?.stdout ?? "";
  };
  return {
    env,
    client,
    ok,
    log,
    async stop() {
      const { stdout } = await client("list", "--format", "csv", "-c", "n");
      for (const name of stdout.split("\n").filter((line) => line !== "")) await client("delete", "-f", name);
      await daemon.stop();
      for (const mount of ["devlxd", "guestapi", "shmounts"]) await sh("umount", ["-l", join(dir, mount)]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
