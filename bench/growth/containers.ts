/** What a start costs beside containers that are alive, how many come up at once, and what the end of one costs by its upper. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inParallel } from "../../src/process/parallel.ts";
import { mountPoints, PATH, type Setting } from "../context.ts";
import { type Contender, interleave, type Result } from "../measure.ts";
import { endAll, quiet, SLEEP, settle, start, startAll } from "../members.ts";
import { makeBundle, runContender, veneerRunc } from "../runc.ts";
import { compare, type Report, type Row } from "../table.ts";
import { bundleOn, lastToFirst } from "./start.ts";

const ALIVE = { usual: [10, 100, 1000, 3000], quick: [10, 100] };
const AT_ONCE = { usual: [1, 8, 32, 64], quick: [1, 8] };
const UPPERS = { usual: [0, 100, 10_000], quick: [0, 100] };

/** The end of a container that wrote files, by how many: what its end takes must not grow with them. */
export async function benchUppers(setting: Setting, runs: number, quick: boolean): Promise<Report> {
  const counts = quick ? UPPERS.quick : UPPERS.usual;
  const state = join(setting.dir, "growth-state");
  const runtime = veneerRunc(setting);
  const bundle = bundleOn(setting, "growth-upper", "bench", SLEEP);
  const contenders = counts.map((count): Contender => {
    let id = "";
    let turn = 0;
    return {
      name: `the end of a container that wrote ${count} files`,
      env: { PATH },
      async before() {
        id = `growth-${process.pid}-${count}-${++turn}`;
        await start([...runtime, "--root", state, "run", "-d", "--bundle", bundle, id]);
        const [upper] = readdirSync(join(setting.root, "ephemeral"));
        const directory = join(setting.root, "ephemeral", upper as string, "upper/srv/new");
        mkdirSync(directory, { recursive: true });
        for (let index = 0; index < count; index++) writeFileSync(join(directory, String(index)), "");
      },
      command: () => [...runtime, "--root", state, "delete", "--force", id],
      after: () => quiet(setting),
    };
  });
  const results = await interleave(contenders, runs, 1);
  const what = `the end of a container that wrote ${counts.at(-1)} files, against none`;
  return {
    title: "Growth: the upper at the end",
    rows: [lastToFirst(what, results, 1.25)],
    results,
    notes: ["runc looks every 100 ms whether the process that it killed has ended: that is in each"],
  };
}

/** Starts at once: how many a second come up, and that none fails. */
export async function benchAtOnce(setting: Setting, _runs: number, quick: boolean): Promise<Report> {
  const bundle = bundleOn(setting, "growth-at-once", "bench", ["/bin/true"]);
  const state = join(setting.dir, "growth-state");
  const rows: Row[] = [];
  const notes: string[] = [];
  for (const count of quick ? AT_ONCE.quick : AT_ONCE.usual) {
    const total = Math.max(64, count);
    const ids = Array.from({ length: total }, (_, index) => `at-once-${process.pid}-${count}-${index}`);
    let failures = 0;
    const from = performance.now();
    await inParallel(count, ids, (id) =>
      start([...veneerRunc(setting), "--root", state, "run", "--bundle", bundle, id]).catch(() => {
        failures += 1;
      }),
    );
    const seconds = (performance.now() - from) / 1000;
    const rate = (total / seconds).toFixed(1);
    notes.push(
      `${count} at once: ${rate} containers a second from start to end, ${failures} of ${total} failed`,
    );
    const what = `failed starts of ${total}, ${count} at once`;
    rows.push({ what, ratio: failures, unit: "", goal: 0 });
    await quiet(setting);
  }
  return { title: "Growth: starts at once", rows, results: [], notes };
}

export async function benchAlive(setting: Setting, runs: number, quick: boolean): Promise<Report> {
  const counts = quick ? ALIVE.quick : ALIVE.usual;
  const runtime = veneerRunc(setting);
  const member = bundleOn(setting, "growth-member", "bench", SLEEP);
  const bundle = bundleOn(setting, "growth-new", "bench", ["/bin/true"]);
  const plain = makeBundle(setting, "growth-plain", ["/bin/true"]);
  const state = join(setting.dir, "growth-state");
  const ids: string[] = [];
  const results: Result[] = [];
  const measure = async (alive: number) => {
    const contenders = [
      runContender(setting, `veneer-runc run beside ${alive} containers`, runtime, bundle),
      runContender(setting, `runc run beside ${alive} containers`, ["runc"], plain),
    ];
    results.push(...(await interleave(contenders, runs)));
    await quiet(setting, alive);
  };
  const notes: string[] = [];
  try {
    await measure(0);
    const before = usage(setting);
    for (const count of counts) {
      const more = Array.from(
        { length: count - ids.length },
        (_, at) => `alive-${process.pid}-${ids.length + at}`,
      );
      ids.push(...more);
      await startAll(more, (id) => [...runtime, "--root", state, "run", "-d", "--bundle", member, id]);
      // before anything is measured: what that leaves to the kernel is none of theirs
      const now = usage(setting);
      const each = (of: keyof typeof now) => ((now[of] - before[of]) / count / 1024).toFixed(1);
      notes.push(
        `${count} alive: ${now.mounts - before.mounts} more lines in the host's mount table; for each the machine holds ` +
          `${each("memory")} KiB more of memory, its process included, and ${each("disk")} KiB of disk`,
      );
      await measure(count);
    }
  } finally {
    await endAll(ids, state);
    await settle(setting);
  }
  return { title: "Growth: containers alive", rows: judge(results, counts.at(-1) as number), results, notes };
}

/** What others alive cost a start, less what they cost plain runc; the runs without them are from earlier, so that is needed. */
function judge(results: readonly Result[], most: number): Row[] {
  const row = (runtime: string) =>
    compare(
      `of it: ${runtime} run beside ${most} containers, against beside none`,
      results,
      `${runtime} run beside ${most} containers`,
      `${runtime} run beside 0 containers`,
    );
  const [own, plain] = [row("veneer-runc"), row("runc")];
  const what = `veneer-runc run beside ${most} containers, against beside none, less what they cost plain runc`;
  return [{ what, ratio: (own.ratio ?? 0) / Math.max(1, plain.ratio ?? 0), goal: 1.05 }, own, plain];
}

/** Lines of the mount table, and bytes. */
function usage(setting: Setting) {
  const memory = readFileSync("/proc/meminfo", "utf8");
  const kilobytes = (name: string) => Number(new RegExp(`^${name}: +([0-9]+) kB$`, "m").exec(memory)?.[1]);
  // what programs and the kernel hold, without caches
  const used = kilobytes("MemTotal") - kilobytes("MemAvailable");
  const own = execFileSync("du", ["-sB1", join(setting.root, "ephemeral")], { encoding: "utf8" });
  return { mounts: mountPoints().length, memory: used * 1024, disk: Number(own.split("\t")[0]) };
}
