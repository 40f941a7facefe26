/** Peers that are programs: hooks of three makes, LXC, systemd-nspawn, bubblewrap, and copies. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileC } from "../compile.ts";
import { emptyStore, has, PATH, VENEER } from "../context.ts";
import { makeBundle, runContender } from "../runc.ts";
import type { Candidate } from "./peers.ts";
import type { Scene } from "./scene.ts";

export function hooks({ setting }: Scene): Candidate[] {
  const { root, run, options } = setting;
  const env = [`PATH=${PATH}`];
  const hook = (path: string, ...args: string[]) => [{ path, args: [path, ...args], env }];
  const ours = hook(VENEER, ...options, "hook", "oci", "--base", "debian");
  const both = { createRuntime: ours, poststop: ours };
  const shell = hook("/bin/sh", join(import.meta.dirname, "../hook/hook.sh"), root, run, "debian");
  const runc = process.env.RUNC ?? "runc";
  const empty = () => emptyStore(setting);
  const contender = (name: string, runtime: string, hooks: object) =>
    runContender(
      setting,
      name,
      [runtime],
      withHooks(setting, `peers-${name.replaceAll(/[^\w.]+/g, "-")}`, hooks),
    );
  const missing = ["jq", "nsenter", "setfattr", "findmnt"].filter((program) => !has(program));
  return [
    { kind: "ours", ...contender(`${versionOf(runc)} run, veneer as hook`, runc, both) },
    has("crun")
      ? { kind: "ours", ...contender(`${versionOf("crun")} run, veneer as hook`, "crun", both) }
      : { name: "crun run, veneer as hook", missing: "not installed" },
    {
      kind: "private",
      ...contender("runc run, C hook", "runc", {
        createRuntime: hook(compileC("hook/hook.c"), root, run, "debian"),
      }),
      after: empty,
    },
    missing.length > 0
      ? { name: "runc run, shell hook", missing: `not installed: ${missing.join(", ")}` }
      : {
          kind: "private",
          ...contender("runc run, shell hook", "runc", { createRuntime: shell }),
          after: empty,
        },
  ];
}

function withHooks(setting: Scene["setting"], name: string, hooks: object): string {
  const bundle = makeBundle(setting, name, ["/bin/true"], {});
  const file = join(bundle, "config.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), hooks }));
  return bundle;
}

/** As `runc 1.1.5`. */
function versionOf(runtime: string): string {
  const text = execFileSync(runtime, ["--version"], { encoding: "utf8", env: { PATH } });
  return /^\w+ version [0-9.]+/.exec(text)?.[0].replace(" version", "") ?? runtime;
}

export function lxcPeers({ setting, tree, host }: Scene): Candidate[] {
  if (!has("lxc-execute")) return [{ name: "LXC", missing: "not installed" }];
  const path = join(host.dir, "lxc");
  const veneer = [VENEER, ...setting.options].join(" ");
  const container = (name: string, rootfs: string, lines: readonly string[] = []) => {
    mkdirSync(join(path, name, "rootfs"), { recursive: true });
    const config = [`lxc.rootfs.path = ${rootfs}`, "lxc.net.0.type = empty", ...lines, ""];
    writeFileSync(join(path, name, "config"), config.join("\n"));
  };
  const execute = (name: string) => ["lxc-execute", "-P", path, "-n", name, "--", "/bin/true"];
  const hook = (type: string) => `lxc.hook.${type} = ${veneer} hook lxc --base debian`;
  container("ours", `dir:${join(path, "ours/rootfs")}`, [hook("pre-mount"), hook("post-stop")]);
  const delta = join(path, "overlay/delta");
  container("overlay", `overlay:${tree}:${delta}`);
  // lxc-copy wants the container's name in the path; read-only, lest whoever cleans up here deletes the tree
  const original = join(path, "original/rootfs");
  container("original", `dir:${original}`);
  execFileSync("mount", ["--bind", tree, original]);
  execFileSync("mount", ["-o", "remount,bind,ro", original]);
  const copy = ["lxc-copy", "-P", path, "-p", path, "-n", "original", "-N", "copy", "-s", "-B", "overlay"];
  return [
    { kind: "ours", name: "lxc-execute, veneer as hooks", env: { PATH }, command: execute("ours") },
    {
      kind: "private",
      name: "lxc-execute, LXC's own overlay",
      env: { PATH },
      command: execute("overlay"),
      // as for a new container: an upper that is empty
      before() {
        for (const made of [delta, join(path, "overlay/olwork")])
          rmSync(made, { recursive: true, force: true });
        mkdirSync(delta);
      },
    },
    {
      kind: "private",
      name: "lxc-copy -s and lxc-execute",
      env: { PATH },
      command: inShell([copy, execute("copy")]),
      after: () => rmSync(join(path, "copy"), { recursive: true, force: true }),
    },
  ];
}

export function sandboxes({ tree }: Scene): Candidate[] {
  const usual = ["--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent", "--", "/bin/true"];
  const here = ["--quiet", "--register=no", "--keep-unit", `--directory=${tree}`];
  const candidates: Candidate[] = [
    {
      kind: "private",
      name: "systemd-nspawn --volatile=overlay",
      env: { PATH },
      command: ["systemd-nspawn", ...here, "--volatile=overlay", "/bin/true"],
    },
    {
      kind: "private",
      name: "bwrap --tmp-overlay",
      env: { PATH },
      command: ["bwrap", "--overlay-src", tree, "--tmp-overlay", "/", ...usual],
    },
  ];
  return candidates.map((peer) =>
    "missing" in peer || has((peer.command as string[])[0] as string)
      ? peer
      : { name: peer.name, missing: "not installed" },
  );
}

/** A copy of the whole system for each container. */
export async function copies({ setting, tree, host, image }: Scene): Promise<Candidate[]> {
  const bundle = makeBundle(setting, "peers-copied", ["/bin/true"], {});
  const root = join(bundle, "rootfs");
  const clear = () => rmSync(root, { recursive: true, force: true });
  const run = ["runc", "--root", join(setting.dir, "runc-state"), "run", "--bundle", bundle, "peers-copied"];
  const candidates: Candidate[] = [
    {
      kind: "private",
      slow: true,
      name: "cp -a and runc",
      env: { PATH },
      before: clear,
      after: clear,
      command: inShell([["cp", "-a", "--reflink=auto", tree, root], run]),
    },
  ];
  if (!has("umoci")) return [...candidates, { name: "umoci unpack and runc", missing: "not installed" }];
  const { layout } = await image();
  const unpacked = join(host.dir, "unpacked");
  const forget = () => rmSync(unpacked, { recursive: true, force: true });
  candidates.push({
    kind: "private",
    slow: true,
    name: "umoci unpack and runc",
    env: { PATH },
    before: forget,
    after: forget,
    command: inShell([
      ["umoci", "unpack", "--image", `${layout}:latest`, unpacked],
      ["cp", join(bundle, "config.json"), join(unpacked, "config.json")],
      [...run.slice(0, -3), "--bundle", unpacked, "peers-unpacked"],
    ]),
  });
  return candidates;
}

/** One after the other, until one fails. */
function inShell(commands: readonly (readonly string[])[]): string[] {
  const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;
  return ["sh", "-c", commands.map((command) => command.map(quote).join(" ")).join(" && ")];
}
