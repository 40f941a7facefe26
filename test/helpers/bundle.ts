/** OCI bundles, and containers in them with the real runtimes. */
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Host, type Outcome, PROGRAM, type RunOptions, sh, storeOptions } from "./host.ts";

export const RUNTIMES = ["runc", "crun"] as const;
export type Runtime = (typeof RUNTIMES)[number];

export interface Mount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
}

export interface Hook {
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}

export interface Config {
  ociVersion: string;
  process: { terminal?: boolean; args: string[]; env: string[]; cwd: string; [key: string]: unknown };
  root: { path: string; readonly?: boolean };
  mounts: Mount[];
  hooks: Record<string, Hook[]>;
  annotations: Record<string, string>;
  linux: {
    namespaces: { type: string; path?: string }[];
    maskedPaths: string[];
    readonlyPaths: string[];
    rootfsPropagation?: string;
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_KILL",
  "CAP_SYS_ADMIN",
  "CAP_MKNOD",
];

/** What `runc spec` writes, less rlimits (raising them needs CAP_SYS_RESOURCE), with a shell command. */
export function defaultConfig(command: string): Config {
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args: ["/bin/sh", "-c", command],
      env: ["PATH=/bin:/usr/bin"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    },
    root: { path: "rootfs" },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
      },
      {
        destination: "/sys",
        type: "sysfs",
        source: "sysfs",
        options: ["nosuid", "noexec", "nodev", "ro"],
      },
    ],
    hooks: {},
    annotations: {},
    linux: {
      namespaces: ["pid", "network", "ipc", "uts", "mount"].map((type) => ({ type })),
      maskedPaths: ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  };
}

/** Makes a bundle with an empty rootfs at `dir`, whose container runs `command`; returns `dir`. */
export function makeBundle(dir: string, command: string, edit: (config: Config) => void = () => {}): string {
  mkdirSync(join(dir, "rootfs"), { recursive: true });
  const config = defaultConfig(command);
  edit(config);
  writeFileSync(join(dir, "config.json"), JSON.stringify(config, undefined, 2));
  return dir;
}

/** In a bundle's own root what a container starts on that is not given its base, which says so. */
export function plantImage(bundle: string): void {
  const root = join(bundle, "rootfs");
  for (const name of ["bin", "etc", "proc"]) mkdirSync(join(root, name));
  for (const name of ["sh", "cat", "ls", "sleep"]) copyFileSync("/bin/busybox", join(root, "bin", name));
  writeFileSync(join(root, "etc/os-release"), "the image\n");
}

/** The hook as an administrator configures it. */
export function ociHook(host: Host, ...args: string[]): Hook {
  return {
    path: PROGRAM,
    args: ["veneer", ...storeOptions(host), "hook", "oci", ...args],
    env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
  };
}

/** Sets the hook at `stage` and poststop. */
export function hookAt(config: Config, host: Host, stage: string, ...args: string[]): void {
  config.hooks[stage] = [...(config.hooks[stage] ?? []), ociHook(host, ...args)];
  config.hooks.poststop = [ociHook(host, ...args)];
}

let count = 0;
/** Not the pid: another run may have the same in a process namespace of its own, and control groups are shared. */
const run = randomBytes(4).toString("hex");

/** A container id that no other test uses. */
export function nextId(): string {
  return `veneer-test-${run}-${++count}`;
}

/** `RUNTIME --root DIR ARGS`, with the host's PATH. */
export function runtime(
  host: Host,
  name: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  return sh(name, ["--root", join(host.dir, "state"), ...args], {
    ...options,
    env: { PATH: host.path, ...options.env },
  });
}

/** Runs the bundle's container to its end. */
export function runBundle(
  host: Host,
  name: string,
  bundle: string,
  options: RunOptions = {},
): Promise<Outcome> {
  return runtime(host, name, ["run", "--bundle", bundle, nextId()], options);
}

/**
 * Runs a runtime whose container goes on after it: with output to a file, since the container inherits it.
 * `stderr` has what was written until the runtime ended.
 */
export async function detach(host: Host, file: string, args: readonly string[]): Promise<Outcome> {
  const output = join(host.dir, `output-${nextId()}`);
  const outcome = await sh("sh", ["-c", 'exec "$@" </dev/null >"$0" 2>&1', output, file, ...args], {
    env: { PATH: host.path },
  });
  return { ...outcome, stderr: readFileSync(output, "utf8").trimEnd() };
}
