/** Running containers that are given another root: runc and crun, through the wrapping runtime and the hook. */
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { plantBase } from "./base.ts";
import { type Config, detach, hookAt, makeBundle, nextId, RUNTIMES, runtime } from "./bundle.ts";
import type { Host, Outcome } from "./host.ts";
import { makeTree } from "./tree.ts";
import { waitFor } from "./wait.ts";
import { storeArguments } from "./wrapper.ts";

export const WAYS = RUNTIMES.flatMap((name) => [`${name} wrapped`, `${name} with the hook`] as const);

/** Two versions of the base `b`, told by /etc/version and /etc/only-VERSION; and a directory `volume/inner`. */
export function plantVersions(host: Host): void {
  for (const version of [1, 2]) {
    const tree = makeTree(join(host.dir, `tree${version}`));
    writeFileSync(join(tree, "etc/version"), `${version}\n`);
    writeFileSync(join(tree, `etc/only-${version}`), "");
    plantBase(host, "b", tree, version);
  }
  mkdirSync(join(host.dir, "volume/inner"), { recursive: true });
}

/** perl of the host: busybox has no rename(2) by itself, no inotify(7), no sockets of files, locks and shared mappings. */
export function withPerl(config: Config): void {
  for (const [source, destination] of [
    ["/usr", "/usr"],
    ["/usr/lib", "/lib"],
    ["/usr/lib64", "/lib64"],
  ] as const) {
    config.mounts.push({ destination, type: "bind", source, options: ["rbind", "ro"] });
  }
}

export interface Running {
  readonly id: string;
  readonly pid: number;
  /** a command's output in the container */
  exec(command: string): Promise<string>;
  mounts(): string[];
  stop(): Promise<void>;
}

/**
 * Starts a container on b@1 whose upper is the persistent instance `instance`, or ephemeral without one. `owner`: of
 * the bundle's empty root.
 */
export async function begin(
  host: Host,
  way: string,
  command: string,
  instance: string | undefined,
  edit: (config: Config) => void = () => {},
  owner = 0,
  globals: readonly string[] = [],
): Promise<Running> {
  const [name = "runc"] = way.split(" ");
  const id = nextId();
  const bundle = makeBundle(join(host.dir, `bundle-${id}`), command, (config) => {
    if (way.endsWith("hook")) {
      const options = instance === undefined ? [] : ["--instance", instance, "--persistent"];
      hookAt(config, host, "createRuntime", "--base", "b@1", ...options);
    } else {
      config.annotations["run.veneer.base"] = "b@1";
      if (instance !== undefined) {
        config.annotations["run.veneer.instance"] = instance;
        config.annotations["run.veneer.upper"] = "persistent";
      }
    }
    edit(config);
  });
  chownSync(join(bundle, "rootfs"), owner, owner);
  const program = way.endsWith("hook") ? name : join(host.bin, `veneer-${name}`);
  const own = way.endsWith("hook") ? [] : storeArguments(host);
  const state = ["--root", join(host.dir, "state")];
  const started = await detach(host, program, [...own, ...globals, ...state, "run", "-d", "-b", bundle, id]);
  expect(started).toMatchObject({ status: 0, stderr: "" });
  const status = async () => JSON.parse((await runtime(host, name, ["state", id])).stdout);
  const { pid } = await status();
  return {
    id,
    pid,
    async exec(script) {
      const outcome = await runtime(host, name, ["exec", id, "/bin/sh", "-c", script]);
      expect(outcome).toMatchObject({ status: 0, stderr: "" });
      return outcome.stdout;
    },
    mounts: () => mountsOf(pid),
    async stop() {
      await runtime(host, name, ["kill", id, "KILL"]);
      await expect.poll(async () => (await status()).status).toBe("stopped");
      expect(await runtime(host, name, ["delete", id])).toMatchObject({ status: 0 });
    },
  };
}

/**
 * Lines of mountinfo with the root's own line less what a rebase changes, and its id as `root`. Where an engine mounts the
 * root on a host whose mounts are shared, the first root receives what the host mounts below that; a new one does not.
 */
export function mountsOf(pid: number): string[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  const fields = lines.map((line) => line.split(" "));
  const root = fields.find((line) => line[4] === "/")?.[0];
  return fields
    .map((line) => {
      if (line[0] === root) {
        const options = line.slice(5, line.indexOf("-")).filter((word) => !word.startsWith("master:"));
        // the kernel gives the lowest free number to a peer group
        return `root / ${options.join(" ").replace(/shared:\d+/, "shared")}`;
      }
      return [line[0], line[1] === root ? "root" : line[1], ...line.slice(2)].join(" ");
    })
    .sort();
}

/** What a command that failed said; empty when it did not fail. */
export function failure({ status, stderr }: Outcome): string {
  return status === 0 ? "" : `status ${status}: ${stderr}`;
}

/** Waits until a command of the container that writes to /started has written that it is ready. */
export async function waitUntilReady({ pid }: Running): Promise<void> {
  const file = `/proc/${pid}/root/started`;
  await waitFor(() => existsSync(file) && readFileSync(file, "utf8") === "ready\n");
}
