/** What every part of the benchmark gets. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeTree } from "../test/helpers/tree.ts";
import { scratch } from "./compile.ts";

export const PROJECT = join(import.meta.dirname, "..");
export const VENEER = join(PROJECT, "dist/veneer");
export const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export interface Setting {
  /** everything is below it */
  readonly dir: string;
  readonly root: string;
  readonly run: string;
  /** the tree that is the base `bench`, in place */
  readonly tree: string;
  /** options of veneer for this store */
  readonly options: readonly string[];
}

/** A store with one base in place, `bench`: a small tree that runs. */
export function makeSetting(): Setting {
  const dir = scratch();
  const root = join(dir, "store");
  const run = join(dir, "run");
  mkdirSync(run);
  // as /run is
  execFileSync("mount", ["-t", "tmpfs", "-o", "mode=755", "tmpfs", run]);
  process.prependListener("exit", () => execFileSync("umount", ["--lazy", run]));
  const tree = makeTree(join(dir, "tree"));
  writeFileSync(join(tree, "etc/hosts"), "127.0.0.1 localhost\n");
  mkdirSync(join(tree, "sys/fs/cgroup"), { recursive: true });
  const base = join(root, "bases/bench");
  mkdirSync(join(base, "versions"), { recursive: true, mode: 0o700 });
  const manifest = {
    layers: [{ path: tree }],
    digest: "bench",
    created: new Date().toISOString(),
    origin: tree,
  };
  writeFileSync(join(base, "base.json"), JSON.stringify({ current: 1 }));
  writeFileSync(join(base, "versions/1.json"), JSON.stringify(manifest));
  const options = ["--root", root, "--run", run];
  // the first container makes the rest of the store
  for (const path of ["ephemeral", "instances", "layers", "staging", "trash"])
    mkdirSync(join(root, path), { mode: 0o700 });
  for (const path of ["records", "configs", "held"])
    mkdirSync(join(run, path), { recursive: true, mode: 0o700 });
  return { dir, root, run, tree, options };
}

/** Forgets all containers: their records and uppers. Some may be on their way out: what vanishes is left alone. */
export function emptyStore(setting: Setting): void {
  for (const place of ["ephemeral", "trash"]) emptyDirectory(join(setting.root, place));
  for (const place of ["records", "configs"]) emptyDirectory(join(setting.run, place));
}

function emptyDirectory(path: string): void {
  for (const name of readdirSync(path)) rmSync(join(path, name), { recursive: true, force: true });
}

/** Where something is mounted, in the order of the mount table. */
export function mountPoints(): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").trimEnd().split("\n");
  return lines.map((line) => line.split(" ")[4] as string);
}

/** Unmounts what a part left below a directory, all but the store's own /run, which the next part needs. */
export function unmountBelow(setting: Setting, directory = setting.dir): void {
  const left = mountPoints().filter((point) => point.startsWith(`${directory}/`) && point !== setting.run);
  // some go with others
  for (const point of left.reverse()) spawnSync("umount", ["--lazy", point], { stdio: "ignore" });
}

/** Whether a program is there. */
export function has(program: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v -- "$1"`, "sh", program], { stdio: "ignore", env: { PATH } });
    return true;
  } catch {
    return false;
  }
}
