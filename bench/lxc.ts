/** lxc-execute on a base, against LXC's own overlay storage. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { emptyStore, has, PATH, type Setting, VENEER } from "./context.ts";
import { type Contender, interleave } from "./measure.ts";
import { compare, type Report } from "./table.ts";

const GOAL = 1.45;
const OVERLAY = "LXC's overlay:";

export async function benchLxc(setting: Setting, runs: number): Promise<Report> {
  if (!has("lxc-execute")) throw new Error("lxc-execute is not installed; hint: apt-get install lxc");
  const path = join(setting.dir, "lxc");
  const veneer = [VENEER, ...setting.options].join(" ");
  const hook = (type: string) => `lxc.hook.${type} = ${veneer} hook lxc --base bench`;
  const delta = join(path, "overlay/delta");

  const container = (name: string, rootfs: string, lines: readonly string[]) => {
    mkdirSync(join(path, name, "rootfs"), { recursive: true });
    const config = [`lxc.rootfs.path = ${rootfs}`, "lxc.net.0.type = empty", ...lines, ""];
    writeFileSync(join(path, name, "config"), config.join("\n"));
    return { command: ["lxc-execute", "-P", path, "-n", name, "--", "/bin/true"], env: { PATH } };
  };
  const own = {
    ...container("overlay", `overlay:${setting.tree}:${delta}`, []),
    // as for a new container: an upper that is empty
    before() {
      rmSync(join(path, "overlay"), { recursive: true, force: true });
      container("overlay", `overlay:${setting.tree}:${delta}`, []);
      mkdirSync(delta, { recursive: true });
    },
  };
  const tidy = { after: () => emptyStore(setting) };
  const mounted = container("mounted", `dir:${join(path, "mounted/rootfs")}`, [hook("pre-mount")]);
  const whole = container("whole", `dir:${join(path, "whole/rootfs")}`, [
    hook("pre-mount"),
    hook("post-stop"),
  ]);
  const contenders: Contender[] = [
    { name: OVERLAY, ...own },
    { name: "pre-mount", ...mounted, ...tidy },
    { name: "pre-mount and post-stop", ...whole, ...tidy },
    { name: "a directory", ...container("plain", `dir:${setting.tree}`, []) },
  ];
  const results = await interleave(contenders, runs);
  const what = `lxc-execute with veneer at pre-mount alone, against ${OVERLAY}`;
  return {
    title: "LXC",
    rows: [
      compare(what, results, "pre-mount", OVERLAY, GOAL),
      compare("the same with post-stop too", results, "pre-mount and post-stop", OVERLAY),
    ],
    results,
    notes: [collected(setting, mounted.command)],
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
