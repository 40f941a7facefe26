/** Starting a container through the wrapping runtime, against plain runc on a directory. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { emptyStore, PATH, PROJECT, type Setting } from "./context.ts";
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
  const file = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  config.process = { ...config.process, args, terminal: false, rlimits: [] };
  config.root = { path: annotations ? "rootfs" : setting.tree };
  if (annotations) config.annotations = annotations;
  writeFileSync(file, JSON.stringify(config));
  return bundle;
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
  const wrapped = veneerRunc(setting);
  const contenders = [
    runContender(setting, "runc run", ["runc"], plain),
    runContender(setting, "veneer-runc run, no base", wrapped, plain),
    runContender(setting, "veneer-runc run, base", wrapped, based),
  ];
  const results = await interleave(contenders, runs);
  emptyStore(setting);
  const row = (of: string, what: string, goal: number) =>
    compare(`${what}, against runc run on a directory`, results, of, "runc run", goal);
  const rows = [
    row("veneer-runc run, base", "veneer-runc run with a base", 1.3),
    row("veneer-runc run, no base", "veneer-runc run without a base", 1.06),
  ];
  return { title: "Wrapping runtime", rows, results };
}
