/** What verbs and a start cost in a store with many instances, against one with none. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PATH, type Setting, VENEER } from "../context.ts";
import { type Contender, interleave } from "../measure.ts";
import { compare, type Report } from "../table.ts";
import { onBase } from "./start.ts";

const INSTANCES = { usual: 10_000, quick: 200 };
const VERBS = [["ls"], ["ps"], ["gc"], ["rollout", "bench", "--dry-run"]];

export async function benchManyInstances(setting: Setting, runs: number, quick: boolean): Promise<Report> {
  const count = quick ? INSTANCES.quick : INSTANCES.usual;
  const stores = [
    { beside: 0, store: storeBeside(setting, "growth-none") },
    { beside: count, store: storeBeside(setting, "growth-many") },
  ];
  try {
    create((stores[1] as (typeof stores)[1]).store, count);
    const starts = stores.map(({ beside, store }) =>
      onBase(store, `a start beside ${beside} instances`, "bench", `growth-beside-${beside}`),
    );
    const verbs = VERBS.flatMap((words) =>
      stores.map(
        ({ beside, store }): Contender => ({
          name: `${words.join(" ")}, ${beside} instances`,
          env: { PATH },
          command: [VENEER, ...store.options, ...words],
        }),
      ),
    );
    const results = [
      ...(await interleave(starts, runs)),
      ...(await interleave(verbs, Math.ceil(runs / 4), 1)),
    ];
    const [none = "", many = ""] = starts.map(({ name }) => name);
    return {
      title: "Growth: instances in the store",
      rows: [compare(`a start beside ${count} instances, against none`, results, many, none, 1.05)],
      results,
    };
  } finally {
    for (const { store } of stores) rmSync(store.root, { recursive: true, force: true });
  }
}

/** Another store with the base `bench`. */
function storeBeside(setting: Setting, name: string): Setting {
  const root = join(setting.dir, name);
  const run = join(setting.run, name);
  execFileSync("cp", ["-a", setting.root, root]);
  mkdirSync(run);
  return { ...setting, root, run, options: ["--root", root, "--run", run] };
}

function create({ root, run }: Setting, count: number): void {
  const ids = Array.from({ length: count }, (_, index) => `i${String(index).padStart(5, "0")}`);
  const script =
    'v=$1; root=$2; run=$3; shift 3; for id; do "$v" --root "$root" --run "$run" create "$id" bench >/dev/null; done';
  for (let at = 0; at < ids.length; at += 200) {
    execFileSync("sh", ["-ec", script, "sh", VENEER, root, run, ...ids.slice(at, at + 200)]);
  }
}
