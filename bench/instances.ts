/** What making and removing a named instance costs: no more for a large base or a full store. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileEmptyProgram } from "./compile.ts";
import { type Setting, VENEER } from "./context.ts";
import { type Contender, interleave, type Result, summarize } from "./measure.ts";
import { compare, type Report } from "./table.ts";

const FILES = 50_000;
const FEW = 10;
const MANY = 10_000;
const CREATE = "veneer create";
const BOTH = "veneer create and rm";

export async function benchInstances(setting: Setting, runs: number): Promise<Report> {
  const program = compileEmptyProgram();
  plantLargeBase(setting);
  const stores = { [FEW]: fill(setting, FEW), [MANY]: fill(setting, MANY) };
  try {
    const contenders: Contender[] = [{ name: "empty program", command: [program] }];
    contenders.push(...pair("", setting.root, "bench"));
    contenders.push(...pair(", large base", setting.root, "large"));
    for (const [count, root] of Object.entries(stores))
      contenders.push(...pair(`, ${count} instances`, root, "bench"));
    const measured = await interleave(contenders, runs);
    const results = [...measured, ...sums(measured)];
    const both = BOTH;
    return {
      title: "Named instances",
      rows: [
        compare(
          "create and rm, against the start of two empty programs",
          results,
          both,
          "two empty programs",
          2,
        ),
        compare(
          `create and rm, against those on a base of ${FILES} files`,
          results,
          `${both}, large base`,
          both,
          1.2,
        ),
        compare(
          `create and rm among ${MANY} instances, against among ${FEW}`,
          results,
          `${both}, ${MANY} instances`,
          `${both}, ${FEW} instances`,
          1.2,
        ),
      ],
      results,
      notes: ["two programs run, so two empty ones are what they are compared with"],
    };
  } finally {
    for (const root of Object.values(stores)) rmSync(root, { recursive: true, force: true });
  }
}

/** Each of the two with the other, unmeasured, around it. */
function pair(suffix: string, root: string, base: string): Contender[] {
  const command = (...words: string[]) => [VENEER, "--root", root, "--run", join(root, "run"), ...words];
  const create = command("create", "bench-instance", base);
  const remove = command("rm", "bench-instance");
  const run = ([file = "", ...args]: string[]) => void execFileSync(file, args, { stdio: "ignore" });
  return [
    { name: `${CREATE}${suffix}`, command: create, after: () => run(remove) },
    { name: `veneer rm${suffix}`, command: remove, before: () => run(create) },
  ];
}

/** Run by run: `create` + `rm` of the same turn, and twice the empty program. */
function sums(results: readonly Result[]): Result[] {
  const samples = (name: string) => results.find((result) => result.name === name)?.samples ?? [];
  const suffixes = results.flatMap(({ name }) => (name.startsWith(CREATE) ? name.slice(CREATE.length) : []));
  const both = suffixes.map((suffix) => {
    const second = samples(`veneer rm${suffix}`);
    return summarize(
      `${BOTH}${suffix}`,
      samples(`${CREATE}${suffix}`).map((time, turn) => time + (second[turn] ?? Number.NaN)),
    );
  });
  const empty = samples("empty program").map((time) => 2 * time);
  return [...both, summarize("two empty programs", empty)];
}

function plantLargeBase(setting: Setting): void {
  const tree = join(setting.dir, "large");
  for (let at = 0; at < FILES; at++) {
    const directory = join(tree, String(at % 500));
    if (at < 500) mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, String(at)), "");
  }
  for (const name of ["tmp", "root"]) mkdirSync(join(tree, name));
  const base = join(setting.root, "bases/large");
  mkdirSync(join(base, "versions"), { recursive: true, mode: 0o700 });
  const manifest = {
    layers: [{ path: tree }],
    digest: "large",
    created: new Date().toISOString(),
    origin: tree,
  };
  writeFileSync(join(base, "versions/1.json"), JSON.stringify(manifest));
  writeFileSync(join(base, "base.json"), JSON.stringify({ current: 1 }));
}

/** A store with the base `bench` and that many instances, copied from one. */
function fill(setting: Setting, count: number): string {
  const root = join(setting.dir, `store-of-${count}`);
  execFileSync("cp", ["-a", setting.root, root]);
  execFileSync(VENEER, ["--root", root, "--run", join(root, "run"), "create", "i0", "bench"], {
    stdio: "ignore",
  });
  const copy =
    'n=1; while [ $n -lt "$2" ]; do echo "$1/i$n"; n=$((n+1)); done | xargs -P 2 -I @ cp -a "$1/i0" @';
  execFileSync("sh", ["-c", copy, "sh", join(root, "instances"), String(count)]);
  return root;
}
