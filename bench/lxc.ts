/** lxc-execute on a base, against LXC's own overlay storage. */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CannotRun, compileC } from "./compile.ts";
import { emptyStore, has, PATH, type Setting, VENEER } from "./context.ts";
import { type Contender, interleave } from "./measure.ts";
import { compare, type Report } from "./table.ts";

const GOAL = 1.15;
const WHOLE_GOAL = 1.25;
const HOOKLESS_GOAL = 1.1;
const OVERLAY = "own-overlay";
const MOUNTED = "veneer-pre-mount";
const FLOOR = "empty-program";
const BOTH_FLOOR = "empty-programs";
const WHOLE = "veneer-pre-mount-post-stop";
const KEPT = "own-overlay-kept";
const HOOKLESS = "veneer-hookless";
/** What lxc-create writes into every container's configuration. */
const COMMON = "/usr/share/lxc/config/common.conf";

export async function benchLxc(setting: Setting, runs: number): Promise<Report> {
  if (!has("lxc-execute")) throw new CannotRun("lxc-execute is not installed; hint: apt-get install lxc");
  const path = join(setting.dir, "lxc");
  const veneer = [VENEER, ...setting.options].join(" ");
  const hook = (type: string) => `lxc.hook.${type} = ${veneer} hook lxc --base bench`;
  mkdirSync(path, { recursive: true });
  const common = join(path, "common.conf");
  // but for what other packages add to it: a hook of lxcfs sleeps for half a second
  if (existsSync(COMMON)) {
    writeFileSync(common, readFileSync(COMMON, "utf8").replace(/^lxc\.include = .*$/gm, ""));
  }
  /** `bare`: without what lxc-create writes into every container's configuration. */
  const container = (name: string, rootfs: string, lines: readonly string[], bare = false) => {
    mkdirSync(join(path, name, "rootfs"), { recursive: true });
    const general = bare || !existsSync(common) ? [] : [`lxc.include = ${common}`];
    const config = [...general, `lxc.rootfs.path = ${rootfs}`, "lxc.net.0.type = empty", ...lines, ""];
    writeFileSync(join(path, name, "config"), config.join("\n"));
    return ["lxc-execute", "-P", path, "-n", name, "--", "/bin/true"];
  };
  const overlay = (name: string, bare = false): Contender => {
    const delta = join(path, name, "delta");
    const command = container(name, `overlay:${setting.tree}:${delta}`, [], bare);
    // as for a new container: an upper that is empty
    const before = () => {
      for (const made of [delta, join(path, name, "olwork")]) rmSync(made, { recursive: true, force: true });
      mkdirSync(delta);
    };
    return { name, command, env: { PATH }, before };
  };
  const ours = (name: string, types: readonly string[], bare = false): Contender => {
    const command = container(name, `dir:${join(path, name, "rootfs")}`, types.map(hook), bare);
    return { name, command, env: { PATH }, after: () => emptyStore(setting) };
  };
  const kept = (name: string): Contender => {
    const delta = join(path, name, "delta");
    mkdirSync(delta, { recursive: true });
    return { name, command: container(name, `overlay:${setting.tree}:${delta}`, []), env: { PATH } };
  };
  /** LXC mounts the instance itself. */
  const hookless = (name: string): Contender => {
    const command = container(name, `dir:${join(path, name, "rootfs")}`, []);
    const words = ["setup", "lxc", name, "--base", "bench", "--hookless", "--lxcpath", path];
    execFileSync(VENEER, [...setting.options, ...words], { stdio: "ignore" });
    return { name, command, env: { PATH } };
  };
  // the least that any program can cost there: it gives no root, the container has the base itself
  const empty = compileC("empty.c", "-static");
  const floor = container(FLOOR, `dir:${setting.tree}`, [`lxc.hook.pre-mount = ${empty}`]);
  const bothFloor = container(BOTH_FLOOR, `dir:${setting.tree}`, [
    `lxc.hook.pre-mount = ${empty}`,
    `lxc.hook.post-stop = ${empty}`,
  ]);
  const contenders = [
    { name: FLOOR, command: floor, env: { PATH } },
    { name: BOTH_FLOOR, command: bothFloor, env: { PATH } },
    overlay(OVERLAY),
    ours(MOUNTED, ["pre-mount"]),
    ours(WHOLE, ["pre-mount", "post-stop"]),
    overlay(`${OVERLAY}-bare`, true),
    ours(`${MOUNTED}-bare`, ["pre-mount"], true),
    kept(KEPT),
    hookless(HOOKLESS),
  ];
  const results = await interleave(contenders, runs);
  const against = "against lxc.rootfs.path = overlay:";
  return {
    title: "LXC",
    rows: [
      compare(`lxc-execute with veneer at pre-mount alone, ${against}`, results, MOUNTED, OVERLAY, GOAL),
      compare("the same with post-stop too", results, WHOLE, OVERLAY, WHOLE_GOAL),
      compare("the floor: an empty C program at pre-mount, on a directory", results, FLOOR, OVERLAY),
      compare("the floor of both: an empty C program at each", results, BOTH_FLOOR, OVERLAY),
      compare(
        "pre-mount alone, no common.conf on either side",
        results,
        `${MOUNTED}-bare`,
        `${OVERLAY}-bare`,
      ),
      compare(
        "a persistent instance that LXC mounts itself (--hookless), against an overlay that is kept",
        results,
        HOOKLESS,
        KEPT,
        HOOKLESS_GOAL,
      ),
    ],
    results,
    notes: [collected(setting, ours("collected", ["pre-mount"]).command as readonly string[])],
  };
}

/** Proves that what a start without post-stop leaves is found by gc. Throws when it is not. */
function collected(setting: Setting, command: readonly string[]): string {
  execFileSync(command[0] as string, command.slice(1), { env: { PATH } });
  const uppers = () => readdirSync(join(setting.root, "ephemeral")).length;
  const records = () => readdirSync(join(setting.run, "records")).length;
  const before = [uppers(), records()];
  const gc = spawnSync(VENEER, [...setting.options, "gc"], { encoding: "utf8", env: { PATH } });
  const after = [uppers(), records()];
  emptyStore(setting);
  if (before.join() !== "1,1" || after.join() !== "0,0" || gc.status !== 0) {
    throw new Error(
      `gc left uppers and records of a start without post-stop: ${before} → ${after}: ${gc.stderr}`,
    );
  }
  return "without post-stop, 'veneer gc' found and removed the upper and the record";
}
