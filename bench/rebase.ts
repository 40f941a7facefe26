/** Moving running containers onto another version: how long each stands still, and a rollout against restarts. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { emptyStore, PATH, type Setting, VENEER } from "./context.ts";
import { type Result, summarize } from "./measure.ts";
import { endAll, SLEEP, settle, start, startAll } from "./members.ts";
import { makeBundle, veneerRunc } from "./runc.ts";
import { compare, type Report } from "./table.ts";

/** Files of the larger upper. */
const FILES = 100_000;
/** Containers of the rollout; with --quick. */
const CROWD = 100;
const QUICK_CROWD = 10;
const TURNS = 3;

interface Subject {
  readonly name: string;
  readonly id: string;
  /** tmpfs mounts beside those of every container */
  readonly mounts: number;
  /** files in its upper */
  readonly files: number;
}

export async function benchRebase(setting: Setting, runs: number, quick = false): Promise<Report> {
  plantSecondVersion(setting);
  const subjects: Subject[] = [
    { name: "veneer rebase, 1 more mount, 10 files", id: "m1", mounts: 1, files: 10 },
    { name: "veneer rebase, 10 more mounts", id: "m10", mounts: 10, files: 10 },
    { name: "veneer rebase, 50 more mounts", id: "m50", mounts: 50, files: 10 },
    { name: `veneer rebase, an upper of ${FILES} files`, id: "f100000", mounts: 1, files: FILES },
  ];
  const state = join(setting.dir, "rebase-state");
  const runc = [...veneerRunc(setting), "--root", state];
  try {
    for (const subject of subjects) await prepare(setting, runc, subject);
    const pauses = await measurePauses(setting, subjects, runs);
    const crowd = await measureCrowd(setting, runc, quick ? QUICK_CROWD : CROWD);
    const results = [...pauses, ...crowd.results];
    const [one = "", ten = "", fifty = "", many = ""] = subjects.map(({ name }) => name);
    return {
      title: "Live rebase",
      rows: [
        compare(`pause with an upper of ${FILES} files, against one of 10`, results, many, one, 1.25),
        compare("pause with 10 more mounts, against one", results, ten, one),
        compare("pause with 50 more mounts, against one", results, fifty, one),
        compare("a rollout, against stop and start of the same", results, crowd.rollout, crowd.restart),
      ],
      results,
      notes: pauses.map(
        ({ name, samples }) => `${name}: the longest pause was ${Math.max(...samples).toFixed(1)} ms`,
      ),
    };
  } finally {
    await endAll(
      subjects.map(({ id }) => id),
      state,
    );
    await settle(setting);
    rmSync(join(setting.root, "instances"), { recursive: true, force: true });
    mkdirSync(join(setting.root, "instances"), { mode: 0o700 });
  }
}

/** bench@2: the same with one file changed. */
function plantSecondVersion(setting: Setting): void {
  const tree = join(setting.dir, "tree-2");
  cpSync(setting.tree, tree, { recursive: true, verbatimSymlinks: true });
  writeFileSync(join(tree, "etc/hosts"), "127.0.0.2 localhost\n");
  const base = join(setting.root, "bases/bench");
  const manifest = JSON.parse(readFileSync(join(base, "versions/1.json"), "utf8"));
  const second = { ...manifest, layers: [{ path: tree }], digest: "bench-2", origin: tree };
  writeFileSync(join(base, "versions/2.json"), JSON.stringify(second));
  writeFileSync(join(base, "base.json"), JSON.stringify({ current: 1, last: 2 }));
}

function veneer(setting: Setting, ...words: string[]): string {
  // what stands on stderr is part of what a failure throws
  return execFileSync(VENEER, [...setting.options, ...words], {
    encoding: "utf8",
    env: { PATH },
    stdio: "pipe",
  });
}

async function prepare(
  setting: Setting,
  runc: readonly string[],
  { id, mounts, files }: Subject,
): Promise<void> {
  veneer(setting, "create", id, "bench@1");
  const upper = join(setting.root, "instances", id, "1/upper");
  for (let at = 0; at < files; at++) {
    if (at % 1000 === 0) mkdirSync(join(upper, `srv-${at / 1000}`));
    writeFileSync(join(upper, `srv-${Math.floor(at / 1000)}`, String(at)), "");
  }
  const bundle = bundleOf(setting, id, mounts);
  await start([...runc, "run", "-d", "--bundle", bundle, id]);
}

function bundleOf(setting: Setting, id: string, mounts = 0): string {
  const annotations = { "run.veneer.base": "bench", "run.veneer.instance": id };
  const bundle = makeBundle(setting, `rebase-${id}`, SLEEP, annotations);
  const file = join(bundle, "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  for (let at = 0; at < mounts; at++) {
    config.mounts.push({ destination: `/mnt/${at}`, type: "tmpfs", source: "tmpfs" });
  }
  writeFileSync(file, JSON.stringify(config));
  return bundle;
}

/** How long each stood still, in milliseconds: all in turn, from one version to the other. */
async function measurePauses(
  setting: Setting,
  subjects: readonly Subject[],
  runs: number,
): Promise<Result[]> {
  const samples = subjects.map(() => [] as number[]);
  for (let turn = -2; turn < runs; turn++) {
    for (let place = 0; place < subjects.length; place++) {
      const index = (place + turn + 2) % subjects.length;
      const { id } = subjects[index] as Subject;
      const { live } = JSON.parse(veneer(setting, "rebase", id, `bench@${turn % 2 === 0 ? 2 : 1}`, "--json"));
      if (turn >= 0) samples[index]?.push(live.pause);
    }
  }
  return subjects.map(({ name }, index) => summarize(name, samples[index] as number[]));
}

/** A rollout of many containers, and their stop and start: milliseconds per container. */
async function measureCrowd(setting: Setting, runc: readonly string[], size: number) {
  const ids = Array.from({ length: size }, (_, at) => `r${at}`);
  for (const id of ids) bundleOf(setting, id);
  const state = runc.at(-1) as string;
  const run = (id: string) => [...runc, "run", "-d", "--bundle", join(setting.dir, `rebase-${id}`), id];
  const rollout = `veneer rollout of ${size} containers, each`;
  const restart = "stop and start of the same, each";
  try {
    for (const id of ids) veneer(setting, "create", id, "bench@1");
    await startAll(ids, run);
    const times = { rollout: [] as number[], restart: [] as number[] };
    for (let turn = 0; turn < TURNS; turn++) {
      let began = performance.now();
      veneer(setting, "rollout", `bench@${turn % 2 === 0 ? 2 : 1}`, "--json");
      times.rollout.push((performance.now() - began) / size);
      began = performance.now();
      for (const id of ids) await start(["runc", "--root", state, "delete", "--force", id]);
      for (const id of ids) await start(run(id));
      times.restart.push((performance.now() - began) / size);
    }
    return {
      rollout,
      restart,
      results: [summarize(rollout, times.rollout), summarize(restart, times.restart)],
    };
  } finally {
    await endAll(ids, state);
    await settle(setting);
    emptyStore(setting);
  }
}
