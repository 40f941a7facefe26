/** What a start costs as everything grows: containers alive, starts at once, layers, files, instances. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { plantBase } from "../test/helpers/base.ts";
import type { Host } from "../test/helpers/host.ts";
import { emptyStore, PATH, type Setting, VENEER } from "./context.ts";
import { inParallel, settle, start } from "./crowd.ts";
import { type Contender, interleave, type Result } from "./measure.ts";
import { makeBundle, runContender, veneerRunc } from "./runc.ts";
import type { Report, Row } from "./table.ts";

const ALIVE = { usual: [10, 100, 1000, 3000], quick: [10, 100] };
const AT_ONCE = { usual: [1, 8, 32, 64], quick: [1, 8] };
const LAYERS = { usual: [1, 10, 100, 500], quick: [1, 10] };
const FILES = { usual: [1_000, 10_000, 100_000, 1_000_000], quick: [1_000, 10_000] };
const UPPERS = { usual: [0, 100, 10_000], quick: [0, 100] };
const INSTANCES = { usual: 10_000, quick: 200 };

export async function benchGrowth(setting: Setting, runs: number, quick: boolean): Promise<Report> {
  const kind = quick ? "quick" : "usual";
  const parts = [
    await byLayers(setting, runs, LAYERS[kind]),
    await byFiles(setting, runs, FILES[kind]),
    await byUpper(setting, Math.ceil(runs / 2), UPPERS[kind]),
    await byInstances(setting, INSTANCES[kind]),
    await atOnce(setting, AT_ONCE[kind]),
    await byAlive(setting, runs, ALIVE[kind]),
  ];
  return {
    title: "Growth",
    rows: parts.flatMap(({ rows }) => rows),
    results: parts.flatMap(({ results }) => results),
    notes: parts.flatMap(({ notes }) => notes),
  };
}

interface Part {
  readonly rows: readonly Row[];
  readonly results: readonly Result[];
  readonly notes: readonly string[];
}

const storeOf = (setting: Setting) => ({ root: setting.root }) as Host;

const annotations = (base: string) => ({ "run.veneer.base": base });

/** `veneer-runc run` of `/bin/true` on a base. */
function onBase(setting: Setting, name: string, base: string): Contender {
  const bundle = makeBundle(setting, `growth-${base}`, ["/bin/true"], annotations(base));
  return { ...runContender(setting, name, veneerRunc(setting), bundle), after: () => emptyStore(setting) };
}

/** The last against the first. */
function row(what: string, results: readonly Result[], goal?: number): Row {
  const [first, last] = [results[0], results.at(-1)];
  return { what, ratio: (last?.median ?? 0) / (first?.median ?? 0), ...(goal !== undefined && { goal }) };
}

async function byLayers(setting: Setting, runs: number, counts: readonly number[]): Promise<Part> {
  const dir = join(setting.dir, "layers");
  const most = Math.max(...counts);
  const layers = Array.from({ length: most - 1 }, (_, index) => {
    const layer = join(dir, String(index));
    mkdirSync(join(layer, "srv"), { recursive: true });
    writeFileSync(join(layer, "srv", `of-layer-${index}`), String(index));
    return layer;
  });
  const contenders = counts.map((count) => {
    plantBase(storeOf(setting), `layers${count}`, [...layers.slice(0, count - 1), setting.tree]);
    return onBase(setting, `a base of ${count} layers`, `layers${count}`);
  });
  const results = await interleave(contenders, runs);
  return { rows: [row(`start on a base of ${most} layers, against one`, results)], results, notes: [] };
}

async function byFiles(setting: Setting, runs: number, counts: readonly number[]): Promise<Part> {
  const made: string[] = [];
  try {
    const contenders = counts.map((count) => {
      const layer = join(setting.dir, `files${count}`);
      made.push(layer);
      for (let index = 0; index < count; index++) {
        const file = join(layer, `srv/${Math.floor(index / 1000)}/${index % 1000}`);
        if (index % 1000 === 0) mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, "");
      }
      plantBase(storeOf(setting), `files${count}`, [layer, setting.tree]);
      return onBase(setting, `a base of ${count} files`, `files${count}`);
    });
    const results = await interleave(contenders, runs);
    const what = `start on a base of ${counts.at(-1)} files, against ${counts[0]}`;
    return { rows: [row(what, results, 1.1)], results, notes: [] };
  } finally {
    for (const layer of made) rmSync(layer, { recursive: true, force: true });
  }
}

/** From start to end of a container that writes files, by how many: what its end takes must not grow with them. */
async function byUpper(setting: Setting, runs: number, counts: readonly number[]): Promise<Part> {
  const state = join(setting.dir, "growth-state");
  const runtime = veneerRunc(setting);
  const bundle = makeBundle(setting, "growth-upper", ["/bin/sleep", "900"], annotations("bench"));
  const contenders = counts.map((count): Contender => {
    let id = "";
    return {
      name: `the end of a container that wrote ${count} files`,
      env: { PATH },
      async before() {
        id = `growth-${process.pid}-${count}-${Math.random().toString(36).slice(2)}`;
        await start([...runtime, "--root", state, "run", "-d", "--bundle", bundle, id]);
        const [upper] = readdirSync(join(setting.root, "ephemeral"));
        const directory = join(setting.root, "ephemeral", upper as string, "upper/srv/new");
        mkdirSync(directory, { recursive: true });
        for (let index = 0; index < count; index++) writeFileSync(join(directory, String(index)), "");
      },
      command: () => [...runtime, "--root", state, "delete", "--force", id],
      after: () => emptyWhenQuiet(setting),
    };
  });
  const results = await interleave(contenders, runs, 1);
  const what = `the end of a container that wrote ${counts.at(-1)} files, against none`;
  return { rows: [row(what, results, 1.25)], results, notes: [] };
}

/** What is deleted in the background is not to be in the next run's way. */
async function emptyWhenQuiet(setting: Setting): Promise<void> {
  for (let left = 200; left > 0 && readdirSync(join(setting.root, "trash")).length > 0; left--) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  emptyStore(setting);
}

async function byInstances(setting: Setting, count: number): Promise<Part> {
  const ids = Array.from({ length: count }, (_, index) => `i${String(index).padStart(5, "0")}`);
  for (let at = 0; at < ids.length; at += 200) {
    const script =
      'v=$1; root=$2; run=$3; shift 3; for id; do "$v" --root "$root" --run "$run" create "$id" bench >/dev/null; done';
    execFileSync("sh", ["-ec", script, "sh", VENEER, setting.root, setting.run, ...ids.slice(at, at + 200)]);
  }
  const verb = (...words: string[]): Contender => ({
    name: `${words.join(" ")}, ${count} instances`,
    env: { PATH },
    command: [VENEER, ...setting.options, ...words],
  });
  const results = await interleave(
    [verb("ls"), verb("ps"), verb("gc"), verb("rollout", "bench", "--dry-run")],
    5,
    1,
  );
  const started = await interleave([onBase(setting, `a start beside ${count} instances`, "bench")], 10);
  for (const id of readdirSync(join(setting.root, "instances"))) {
    rmSync(join(setting.root, "instances", id), { recursive: true, force: true });
  }
  return { rows: [], results: [...results, ...started], notes: [] };
}

/** Starts at once: how many a second come up, and that none fails. */
async function atOnce(setting: Setting, counts: readonly number[]): Promise<Part> {
  const bundle = makeBundle(setting, "growth-at-once", ["/bin/true"], annotations("bench"));
  const notes: string[] = [];
  for (const count of counts) {
    const total = Math.max(64, count);
    let failures = 0;
    const from = process.hrtime.bigint();
    await inParallel(
      Array.from({ length: total }, (_, index) => index),
      async (index) => {
        const id = `at-once-${process.pid}-${count}-${index}`;
        const state = join(setting.dir, "growth-state");
        await start([...veneerRunc(setting), "--root", state, "run", "--bundle", bundle, id]).catch(() => {
          failures += 1;
        });
      },
      count,
    );
    const seconds = Number(process.hrtime.bigint() - from) / 1e9;
    notes.push(
      `${count} at once: ${(total / seconds).toFixed(0)} containers a second from start to end, ${failures} failed`,
    );
    if (failures > 0) throw new Error(`${failures} of ${total} starts failed, ${count} at once`);
  }
  emptyStore(setting);
  return { rows: [], results: [], notes };
}

async function byAlive(setting: Setting, runs: number, counts: readonly number[]): Promise<Part> {
  const runtime = veneerRunc(setting);
  const member = makeBundle(setting, "growth-member", ["/bin/sleep", "900"], annotations("bench"));
  const state = join(setting.dir, "growth-state");
  const bundle = makeBundle(setting, "growth-new", ["/bin/true"], annotations("bench"));
  const measureOne = async (alive: number) => {
    const contender = runContender(setting, `a start beside ${alive} containers`, runtime, bundle);
    return (await interleave([contender], runs)) as [Result];
  };
  const results: Result[] = await measureOne(0);
  const notes: string[] = [];
  const ids: string[] = [];
  const before = usage(setting);
  try {
    for (const count of counts) {
      const more = Array.from(
        { length: count - ids.length },
        (_, index) => `alive-${process.pid}-${ids.length + index}`,
      );
      ids.push(...more);
      await inParallel(more, (id) =>
        start([...runtime, "--root", state, "run", "-d", "--bundle", member, id]),
      );
      results.push(...(await measureOne(count)));
      const now = usage(setting);
      const each = (of: keyof typeof now) => (now[of] - before[of]) / count;
      notes.push(
        `${count} alive: ${now.mounts - before.mounts} more lines in the host's mount table; a container takes ` +
          `${(each("memory") / 1024).toFixed(0)} KiB of memory with its process, ${(each("disk") / 1024).toFixed(1)} KiB of disk`,
      );
    }
  } finally {
    await inParallel(ids, (id) => start(["runc", "--root", state, "delete", "--force", id], true));
    await settle(setting);
  }
  return {
    rows: [row(`a start beside ${counts.at(-1)} containers, against none`, results, 1.05)],
    results,
    notes,
  };
}

/** Lines of the mount table, and bytes. */
function usage(setting: Setting) {
  const memory = readFileSync("/proc/meminfo", "utf8");
  const kilobytes = (name: string) => Number(new RegExp(`^${name}: +([0-9]+) kB$`, "m").exec(memory)?.[1]);
  // what programs and the kernel hold, without caches
  const used = kilobytes("MemTotal") - kilobytes("MemAvailable");
  const own = execFileSync("du", ["-sB1", join(setting.root, "ephemeral")], { encoding: "utf8" });
  return {
    mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
    memory: used * 1024,
    disk: Number(own.split("\t")[0]),
  };
}
