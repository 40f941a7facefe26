/** Many containers that read the same programs: what each further one takes of memory and disk, against engines and copies. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { inParallel } from "../../src/process/parallel.ts";
import type { Setting } from "../context.ts";
import { reasonOf } from "../measure.ts";
import { inScene, type Scene } from "../peers/scene.ts";
import type { Report, Row } from "../table.ts";
import { WAYS, type Way } from "./ways.ts";

/** Each is read whole by each container. */
const READ = ["/usr/bin", "/usr/lib", "/usr/sbin"];

/** Bytes. Of these files and processes alone: what else goes on on the machine is not in it. */
interface Usage {
  /** page cache */
  readonly cache: number;
  /** of the containers' processes, and of those of the engine beside each */
  readonly memory: number;
  readonly disk: number;
}

interface Outcome {
  readonly name: string;
  /** how many there were */
  readonly count: number;
  /** what the first one brought */
  readonly first: Usage;
  /** what each further one brought */
  readonly further: Usage;
  /** what the way itself says of the disk, as a multiple of what du says */
  readonly says?: number;
}

/** `runs`: how many containers. */
export function benchContainers(setting: Setting, runs: number): Promise<Report> {
  return inScene(setting, (scene) => measureAll(scene, Math.max(2, runs)));
}

async function measureAll(scene: Scene, count: number): Promise<Report> {
  const outcomes: Outcome[] = [];
  const rows: Row[] = [];
  for (const [name, make] of Object.entries(WAYS)) {
    try {
      outcomes.push(await measure(await make(scene), count));
    } catch (error) {
      const why = reasonOf(error);
      rows.push({
        what: `memory against ${name}`,
        ...(make === WAYS["veneer-runc"] ? { failed: why } : { skipped: why }),
      });
    }
  }
  const [own, ...others] = outcomes;
  if (own?.name === "veneer-runc") rows.unshift(...judge(own, others));
  return {
    title: "Containers of one Debian",
    rows,
    results: [],
    notes: [
      `each container reads all of ${READ.join(", ")}: ${mega(outcomes[0]?.first.cache ?? 0)} MB`,
      "memory is what its process has for itself, with that of the monitor or shim that the engine starts for it",
      ...outcomes.map(
        ({ name, count, first, further }) =>
          `${name}, ${count} containers: each after the first ${kilo(further.memory)} KiB of memory, ` +
          `${kilo(further.cache)} KiB of page cache, ${kilo(further.disk)} KiB of disk; the first ${mega(first.cache)} MB of page cache`,
      ),
    ],
  };
}

function judge(own: Outcome, others: readonly Outcome[]): Row[] {
  const all = own.first.cache + own.further.cache * (own.count - 1);
  return [
    { what: `page cache of ${own.count} containers, against one`, ratio: all / own.first.cache, goal: 1.05 },
    { what: "disk of each further container", ratio: own.further.disk / 1024, unit: "KiB", goal: 24 },
    { what: "what veneer df says that they take on disk, against du", ratio: own.says ?? Number.NaN },
    { what: "memory of each further container", ratio: own.further.memory / 1024, unit: "KiB" },
    ...others.map(
      (other): Row => ({
        what: `memory and page cache of each further container, against ${other.name}`,
        ratio: held(own) / held(other),
        goal: 1,
      }),
    ),
  ];
}

const held = ({ further }: Outcome) => Math.max(0, further.memory) + Math.max(0, further.cache);
const mega = (bytes: number) => (bytes / 1e6).toFixed(0);
const kilo = (bytes: number) => (bytes / 1024).toFixed(1);

/** One container that only starts, so that the way's programs are in memory; one that reads; then all others. */
async function measure(way: Way, most: number): Promise<Outcome> {
  const count = Math.min(most, way.most ?? most);
  // a number that no other process sleeps for
  const mark = `3600.${process.pid}`;
  const reading = [
    "sh",
    "-c",
    `find ${READ.join(" ")} -type f -exec cat {} + >/dev/null && exec sleep ${mark}`,
  ];
  const ids = Array.from({ length: count + 1 }, (_, index) => `sharing-${process.pid}-${index}`);
  const [warm = "", first = "", ...others] = ids;
  const usage = () => usageOf(way, mark);
  try {
    way.prepare?.(ids);
    execFileSync("sync");
    writeFileSync("/proc/sys/vm/drop_caches", "3");
    await way.run(warm, ["sleep", mark]);
    await sleepers(mark, 1);
    const before = usage();
    await way.run(first, reading);
    await sleepers(mark, 2);
    const one = usage();
    await inParallel(2, others, async (id) => void (await way.run(id, reading)));
    await sleepers(mark, count + 1);
    const all = usage();
    return {
      name: way.name,
      count,
      first: each(before, one, 1),
      further: each(one, all, others.length),
      ...(way.says && { says: way.says() / all.disk }),
    };
  } finally {
    await way.end(ids);
  }
}

function each(from: Usage, to: Usage, count: number): Usage {
  return {
    cache: (to.cache - from.cache) / count,
    memory: (to.memory - from.memory) / count,
    disk: (to.disk - from.disk) / count,
  };
}

/** Waits until so many processes sleep for `mark`: the containers have read. */
async function sleepers(mark: string, count: number): Promise<void> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const found = sleeping(mark).length;
    if (found >= count) return;
    if (Date.now() > deadline) throw new Error(`${found} of ${count} containers have read what they should`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Processes that sleep for `mark`. */
function sleeping(mark: string): string[] {
  const isOne = (pid: string) => read(`/proc/${pid}/cmdline`) === `sleep\0${mark}\0`;
  return readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && isOne(name));
}

/** Nothing where the process has ended. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function usageOf({ directory, lower }: Way, mark: string): Usage {
  const pids = new Set(sleeping(mark));
  for (const pid of pids) {
    const parent = /^PPid:\t([0-9]+)$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? "";
    // a monitor or shim for one container each
    if (/^(conmon|containerd-shim.*)\n$/.test(read(`/proc/${parent}/comm`))) pids.add(parent);
  }
  const own = (pid: string) =>
    Number(/^Pss_Anon: +([0-9]+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) * 1024;
  const disk = execFileSync("du", ["-sxB1", directory], { encoding: "utf8" });
  return {
    cache: cachedBelow(lower === undefined ? [directory] : [lower, directory]),
    memory: [...pids].reduce((sum, pid) => sum + own(pid), 0),
    disk: Number(disk.split("\t")[0]),
  };
}

/** Bytes of the files below directories that are in the page cache (fincore(1)). */
function cachedBelow(directories: readonly string[]): number {
  const script =
    'find "$@" -xdev -type f -size +0 -print0 | xargs -0 -r fincore --bytes --noheadings --output RES 2>/dev/null || :';
  const lines = execFileSync("sh", ["-c", script, "sh", ...directories], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
  });
  return lines.split("\n").reduce((sum, line) => sum + Number(line), 0);
}
