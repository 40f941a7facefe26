/** Containers of LXC for a test, in an lxcpath of its own. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Host, type Outcome, type RunOptions, sh } from "./host.ts";
import { PATIENCE } from "./wait.ts";

export interface LxcOptions {
  /** options of the pre-mount hook */
  readonly hook?: string;
  /** 1 unless given */
  readonly hookVersion?: 0 | 1;
  /** further lines of the configuration */
  readonly lines?: readonly string[];
  /** no post-stop hook */
  readonly untidy?: boolean;
  /** values of lxc.idmap: the root is mounted at pre-start */
  readonly idmap?: readonly string[];
  /** no lines of ours but these */
  readonly only?: readonly string[];
}

export interface Lxc {
  readonly path: string;
  /** Writes a container's configuration; returns the directory that its root is mounted on. */
  container(name: string, options?: LxcOptions): string;
  /** `lxc-execute`: runs a command to its end as the container's only process. */
  execute(name: string, ...command: string[]): Promise<Outcome>;
  /** `lxc-TOOL -P … -n NAME …` */
  tool(tool: string, name: string, ...rest: string[]): Promise<Outcome>;
  /** A container that `tool` makes: stopped and tidied up with the others. */
  expect(name: string): unknown;
  /** The log that `execute` and `tool` have LXC write, at the default priority. */
  log(): string;
  /** Kills what still runs. */
  stopAll(): Promise<void>;
}

export function makeLxc(host: Host, path = join(host.dir, "lxc")): Lxc {
  mkdirSync(path);
  const names = new Set<string>();
  const options: RunOptions = { env: { PATH: host.path }, cwd: host.dir };
  const logFile = () => join(path, "lxc.log");
  const run = (tool: string, name: string, rest: readonly string[]) =>
    sh(`lxc-${tool}`, ["-P", path, "-n", name, "-o", logFile(), ...rest], options);
  return {
    path,
    container(name, { hook = "--base b", hookVersion = 1, lines = [], untidy = false, only, idmap } = {}) {
      names.add(name);
      const rootfs = join(path, name, "rootfs");
      mkdirSync(rootfs, { recursive: true });
      const veneer = join(host.bin, "veneer");
      const own = only ?? [
        `lxc.hook.version = ${hookVersion}`,
        `lxc.hook.${idmap ? "pre-start" : "pre-mount"} = ${veneer} hook lxc ${hook}`,
        ...(idmap ? [`lxc.hook.start-host = ${veneer} hook lxc`] : []),
        ...(untidy ? [] : [`lxc.hook.post-stop = ${veneer} hook lxc`]),
      ];
      const general = [`lxc.rootfs.path = dir:${rootfs}`, "lxc.net.0.type = empty", "lxc.mount.auto = proc"];
      const maps = idmap?.map((map) => `lxc.idmap = ${map}`) ?? [];
      writeFileSync(join(path, name, "config"), [...general, ...maps, ...own, ...lines, ""].join("\n"));
      // as lxc-create leaves it
      chmodSync(join(path, name), 0o770);
      chownSync(join(path, name), Number(idmap?.[0]?.split(" ")[2] ?? 0), 0);
      return rootfs;
    },
    execute: (name, ...command) => run("execute", name, ["--", ...command]),
    tool: (tool, name, ...rest) => run(tool, name, rest),
    expect: (name) => names.add(name),
    log() {
      return readFileSync(logFile(), "utf8");
    },
    async stopAll() {
      for (const name of names) {
        await run("stop", name, ["-k"]);
        removeCgroups(name);
      }
      rmSync(logFile(), { force: true });
    },
  };
}

/** LXC leaves the control groups of a container that was killed with its monitor, and of a copy that failed. */
function removeCgroups(name: string): void {
  const mounted = "/sys/fs/cgroup";
  for (const place of [mounted, ...readdirSync(mounted).map((entry) => join(mounted, entry))]) {
    if (!statSync(place).isDirectory()) continue;
    for (const entry of readdirSync(place)) {
      if (
        /^lxc\.(monitor|payload)\./.test(entry) &&
        entry.replace(/^lxc\.\w+\./, "").replace(/-[0-9]+$/, "") === name
      ) {
        try {
          rmdirSync(join(place, entry));
        } catch {
          // in use, by a container of the same name elsewhere
        }
      }
    }
  }
}

/** Waits until `probe` gives something; throws after ten seconds (more in slow guests). */
export async function eventually<T>(probe: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (const deadline = Date.now() + 10_000 * PATIENCE; Date.now() < deadline; ) {
    const found = await probe();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("nothing came of it within ten seconds");
}
