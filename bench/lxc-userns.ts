/** LXC containers with user namespaces that root starts: what an idmapped base adds to what LXC itself does. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "../test/helpers/host.ts";
import { must } from "../test/helpers/host.ts";
import { grantIds } from "../test/helpers/userns.ts";
import { CannotRun } from "./compile.ts";
import { emptyStore, has, PATH, type Setting, unmountBelow, VENEER } from "./context.ts";
import { type Contender, interleave } from "./measure.ts";
import { compare, type Report } from "./table.ts";

const GOAL = 1.1;
const FIRST = 200_000;
const COMMON = "/usr/share/lxc/config";

export async function benchLxcUserns(setting: Setting, runs: number): Promise<Report> {
  if (!has("lxc-execute")) throw new CannotRun("lxc-execute is not installed; hint: apt-get install lxc");
  chmodSync(setting.dir, 0o711);
  const revoke = await grantIds({ dir: setting.dir } as Host, FIRST, 65_536);
  try {
    return await measure(setting, runs);
  } finally {
    await revoke();
    unmountBelow(setting);
  }
}

async function measure(setting: Setting, runs: number): Promise<Report> {
  const path = join(setting.dir, "lxc-userns");
  mkdirSync(path);
  chmodSync(path, 0o711);
  // what a container has without veneer: a copy with the owners of its map
  const copy = join(path, "copy");
  await must("cp", ["-a", setting.tree, copy]);
  await must("chown", ["-R", `${FIRST}:${FIRST}`, copy]);
  const contender = (
    name: string,
    mapped: boolean,
    rootfs: string | undefined,
    types: string[],
  ): Contender => {
    const dir = join(path, name.replace(/\W+/g, "-"));
    mkdirSync(join(dir, "rootfs"), { recursive: true });
    chmodSync(dir, 0o770);
    if (mapped) chownSync(dir, FIRST, FIRST);
    const hook = (type: string) =>
      `lxc.hook.${type} = ${[VENEER, ...setting.options].join(" ")} hook lxc --base bench`;
    const maps = ["u", "g"].map((kind) => `lxc.idmap = ${kind} 0 ${FIRST} 65536`);
    const lines = [
      ...general(path, mapped),
      `lxc.rootfs.path = dir:${rootfs ?? join(dir, "rootfs")}`,
      "lxc.net.0.type = empty",
      ...(mapped ? maps : []),
      ...types.map(hook),
    ];
    writeFileSync(join(dir, "config"), `${lines.join("\n")}\n`);
    const command = ["lxc-execute", "-P", path, "-n", dir.slice(path.length + 1), "--", "/bin/true"];
    return { name, command, env: { PATH }, after: () => emptyStore(setting) };
  };
  const contenders = [
    contender("directory", false, setting.tree, []),
    contender("directory, userns", true, copy, []),
    contender("veneer base", false, undefined, ["pre-mount", "post-stop"]),
    contender("veneer base, userns", true, undefined, ["pre-start", "start-host", "post-stop"]),
    contender("veneer base, userns, no start-host", true, undefined, ["pre-start", "post-stop"]),
    contender("veneer base, hooks for both", false, undefined, [
      "pre-start",
      "pre-mount",
      "start-host",
      "post-stop",
    ]),
  ];
  const results = await interleave(contenders, runs);
  const find = (name: string) => results.find((result) => result.name === name)?.median ?? Number.NaN;
  const own = find("veneer base, userns") / find("veneer base");
  const plain = find("directory, userns") / find("directory");
  return {
    title: "LXC, user namespaces",
    rows: [
      {
        what: "what a user namespace makes of lxc-execute with a base, against what it makes of one on a directory",
        ratio: own / plain,
        goal: GOAL,
      },
      { what: "of it: with a base, with against without a user namespace", ratio: own },
      { what: "of it: on a directory, with against without a user namespace", ratio: plain },
      compare(
        "with a user namespace: a base, against a chowned copy",
        results,
        "veneer base, userns",
        "directory, userns",
      ),
      compare(
        "without start-host, against with it",
        results,
        "veneer base, userns, no start-host",
        "veneer base, userns",
      ),
      compare(
        "a privileged container with all four hooks, against its two",
        results,
        "veneer base, hooks for both",
        "veneer base",
      ),
    ],
    results,
  };
}

/** What lxc-create writes into configurations, but for what other packages add to it. */
function general(path: string, mapped: boolean): string[] {
  return (mapped ? ["common.conf", "userns.conf"] : ["common.conf"]).flatMap((name) => {
    if (!existsSync(join(COMMON, name))) return [];
    const own = join(path, name);
    writeFileSync(own, readFileSync(join(COMMON, name), "utf8").replace(/^lxc\.include = .*$/gm, ""));
    return [`lxc.include = ${own}`];
  });
}
