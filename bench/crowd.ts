/** Starting a container while many others are alive: an overlay on the host would slow each start. */
import { join } from "node:path";
import { emptyStore, mountPoints, type Setting } from "./context.ts";
import { interleave, summarize } from "./measure.ts";
import { endAll, SLEEP, settle, startAll } from "./members.ts";
import { makeBundle, runContender, veneerRunc } from "./runc.ts";
import { compare, type Report } from "./table.ts";

const GOAL = 1.05;
const USUAL = 1000;
/** With --quick, which runs less of everything: what it says of the goal is not the last word. */
const QUICK = 100;

export async function benchCrowd(setting: Setting, runs: number, quick = false): Promise<Report> {
  const size = quick ? QUICK : USUAL;
  const annotations = { "run.veneer.base": "bench" };
  const runtime = veneerRunc(setting);
  const bundle = makeBundle(setting, "crowd-new", ["/bin/true"], annotations);
  const plain = makeBundle(setting, "crowd-plain", ["/bin/true"]);
  const member = makeBundle(setting, "crowd-member", SLEEP, annotations);
  const contenders = [
    runContender(setting, "veneer", runtime, bundle),
    runContender(setting, "runc", ["runc"], plain),
  ];
  const state = join(setting.dir, "crowd-state");
  const ids = Array.from({ length: size }, (_, index) => `crowd-${process.pid}-${index}`);
  const half = Math.ceil(runs / 2);

  const before = await interleave(contenders, half);
  let among: typeof before;
  const hostMounts = mountPoints().length;
  let added = 0;
  try {
    await startAll(ids, (id) => [...runtime, "--root", state, "run", "-d", "--bundle", member, id]);
    added = mountPoints().length - hostMounts;
    among = await interleave(contenders, runs);
  } finally {
    await endAll(ids, state);
    await settle(setting);
  }
  const after = await interleave(contenders, half);
  emptyStore(setting);

  const none = (index: number, name: string) =>
    summarize(name, [...(before[index]?.samples ?? []), ...(after[index]?.samples ?? [])]);
  const results = [
    none(0, "veneer-runc run, no others"),
    { ...(among[0] as (typeof among)[0]), name: `veneer-runc run, ${size} others` },
    none(1, "runc run, no others"),
    { ...(among[1] as (typeof among)[1]), name: `runc run, ${size} others` },
  ];
  const [alone, crowded, runcAlone, runcCrowded] = results.map((result) => result.name) as [
    string,
    string,
    string,
    string,
  ];
  return {
    title: "Private placement",
    rows: [
      compare(`veneer-runc run with ${size} others alive, against none`, results, crowded, alone, GOAL),
      compare("the same with plain runc on a directory", results, runcCrowded, runcAlone),
    ],
    results,
    notes: [
      `the ${size} containers added ${added} lines to the host's mount table`,
      "not interleaved: half of the runs without others came before the others, half after them",
    ],
  };
}
