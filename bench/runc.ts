/** Starting a container through the wrapping runtime, against plain runc on a directory. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileC } from "./compile.ts";
import { emptyStore, PATH, PROJECT, type Setting, VENEER } from "./context.ts";
import { type Contender, interleave } from "./measure.ts";
import { compare, type Report } from "./table.ts";

/** Makes a bundle that runs `args`; with `annotations` its root is an empty directory, else the base's tree. */
export function makeBundle(
  setting: Setting,
  name: string,
  args: readonly string[],
  annotations?: Readonly<Record<string, string>>,
): string {
  const bundle = join(setting.dir, name);
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  execFileSync("runc", ["spec"], { cwd: bundle, env: { PATH } });
  edit(bundle, (config) => {
    config.process = { ...config.process, args, terminal: false, rlimits: [] };
    config.root = { path: annotations ? "rootfs" : setting.tree };
    if (annotations) config.annotations = annotations;
  });
  return bundle;
}

// biome-ignore lint/suspicious/noExplicitAny: config.json as runc writes it
function edit(bundle: string, change: (config: any) => void): void {
  const file = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  change(config);
  writeFileSync(file, JSON.stringify(config));
}

/** The wrapping runtime on this benchmark's store. */
export function veneerRunc(setting: Setting): string[] {
  return [join(PROJECT, "dist/veneer-runc"), "--veneer-store", setting.root, setting.run, ""];
}

let count = 0;

/** A contender that runs a bundle's container from start to end, each time under a new id. */
export function runContender(
  setting: Setting,
  name: string,
  runtime: readonly string[],
  bundle: string,
): Contender {
  const state = join(setting.dir, "runc-state");
  return {
    name,
    env: { PATH },
    command: () => [
      ...runtime,
      "--root",
      state,
      "run",
      "--bundle",
      bundle,
      `bench-${process.pid}-${++count}`,
    ],
  };
}

export async function benchRunc(setting: Setting, runs: number): Promise<Report> {
  const plain = makeBundle(setting, "plain", ["/bin/true"]);
  const based = makeBundle(setting, "based", ["/bin/true"], { "run.veneer.base": "bench" });
  const ended = makeBundle(setting, "ended", ["/bin/true"], {});
  // the least that a wrapping runtime which cleans up can cost: a hook at poststop that does nothing
  const empty = compileC("empty.c", "-static");
  edit(ended, (config) => {
    config.root = { path: setting.tree };
    config.hooks = { poststop: [{ path: empty }] };
  });
  const wrapped = veneerRunc(setting);
  const state = (name: string, runtime: readonly string[]): Contender => ({
    name,
    env: { PATH },
    command: [...runtime, "--root", join(setting.dir, "runc-state"), "list"],
  });
  const contenders = [
    runContender(setting, "runc run", ["runc"], plain),
    runContender(setting, "veneer-runc run, no base", wrapped, plain),
    runContender(setting, "veneer-runc run, base", wrapped, based),
    runContender(setting, "runc run, empty poststop", ["runc"], ended),
    {
      name: "veneer run",
      env: { PATH },
      command: [VENEER, ...setting.options, "run", "bench", "--", "/bin/true"],
    },
    state("runc list", ["runc"]),
    state("veneer-runc list", wrapped),
  ];
  const results = await interleave(contenders, runs);
  emptyStore(setting);
  const row = (of: string, what: string, goal?: number) =>
    compare(`${what}, against runc run on a directory`, results, of, "runc run", goal);
  const rows = [
    row("veneer-runc run, base", "veneer-runc run with a base", 1.1),
    row("veneer-runc run, no base", "veneer-runc run without a base", 1.04),
    row("runc run, empty poststop", "the floor: runc run with an empty C program at poststop"),
    compare("veneer-runc list, against runc list", results, "veneer-runc list", "runc list", 1.04),
    compare(
      "veneer run BASE -- true, against veneer-runc run with a base",
      results,
      "veneer run",
      "veneer-runc run, base",
      1.1,
    ),
  ];
  return { title: "Wrapping runtime", rows, results };
}
