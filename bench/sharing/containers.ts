/** Many containers that read the same programs: what each further one takes of memory and disk, against engines and copies. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inParallel } from "../../src/process/parallel.ts";
import { type Setting, VENEER } from "../context.ts";
import { reasonOf } from "../measure.ts";
import { endAll, quiet, settle, start } from "../members.ts";
import { dockerWithImage, IMAGE, podmanWithImage } from "../peers/engines.ts";
import { inScene, type Scene } from "../peers/scene.ts";
import { makeBundle, veneerRunc } from "../runc.ts";
import type { Report, Row } from "../table.ts";

/** Each is read whole by each container. */
const READ = ["/usr/bin", "/usr/lib", "/usr/sbin"];

/** A way to have containers of the Debian. */
interface Way {
  readonly name: string;
  /** what it keeps of containers is below it */
  readonly directory: string;
  /** so many containers at most: what they take is beyond a machine */
  readonly most?: number;
  /** Does what must not be in the page cache from its making. */
  prepare?(ids: readonly string[]): void;
  run(id: string, command: readonly string[]): Promise<unknown>;
  end(ids: readonly string[]): Promise<unknown>;
  /** what it says itself that all of it takes on disk, in bytes */
  says?(): number;
}

/** Bytes. */
interface Usage {
  readonly cache: number;
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

const MAKERS: Readonly<Record<string, (scene: Scene) => Way | Promise<Way>>> = {
  "veneer-runc": ours,
  podman: podmanWay,
  Docker: dockerWay,
  "cp -a and runc": copyWay,
};

/** `runs`: how many containers. */
export function benchContainers(setting: Setting, runs: number): Promise<Report> {
  return inScene(setting, (scene) => measureAll(scene, Math.max(2, runs)));
}

async function measureAll(scene: Scene, count: number): Promise<Report> {
  const outcomes: Outcome[] = [];
  const rows: Row[] = [];
  for (const [name, make] of Object.entries(MAKERS)) {
    try {
      outcomes.push(await measure(await make(scene), count));
    } catch (error) {
      const why = reasonOf(error);
      rows.push({ what: `memory against ${name}`, ...(make === ours ? { failed: why } : { skipped: why }) });
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
      "memory is what processes and the kernel hold, with those of the engine for the container, without caches",
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
  const usage = () => usageOf(way.directory);
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
  const isOne = (pid: string) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8") === `sleep\0${mark}\0`;
    } catch {
      return false;
    }
  };
  for (;;) {
    const found = readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name) && isOne(name)).length;
    if (found >= count) return;
    if (Date.now() > deadline) throw new Error(`${found} of ${count} containers have read what they should`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function usageOf(directory: string): Usage {
  const text = readFileSync("/proc/meminfo", "utf8");
  const bytes = (name: string) => Number(new RegExp(`^${name}: +([0-9]+) kB$`, "m").exec(text)?.[1]) * 1024;
  // files in memory count as cache there
  const cache = bytes("Cached") + bytes("Buffers") - bytes("Shmem");
  const memory = bytes("MemTotal") - bytes("MemFree") - cache - bytes("SReclaimable");
  const disk = execFileSync("du", ["-sxB1", directory], { encoding: "utf8" });
  return { cache, memory, disk: Number(disk.split("\t")[0]) };
}

function ours({ setting }: Scene): Way {
  const state = join(setting.dir, "sharing-state");
  return {
    name: "veneer-runc",
    directory: join(setting.root, "ephemeral"),
    run(id, command) {
      const bundle = makeBundle(setting, `bundle-${id}`, command, { "run.veneer.base": "debian" });
      return start([...veneerRunc(setting), "--root", state, "run", "-d", "--bundle", bundle, id]);
    },
    async end(ids) {
      await endAll(ids, state);
      await quiet(setting);
    },
    says() {
      const df = execFileSync(VENEER, [...setting.options, "df", "--json"], { encoding: "utf8" });
      return JSON.parse(df).total.bytes;
    },
  };
}

function copyWay({ setting, tree, host }: Scene): Way {
  const state = join(setting.dir, "sharing-state");
  const made = join(host.dir, "made");
  const place = join(host.dir, "copies");
  mkdirSync(place);
  mkdirSync(made);
  return {
    name: "cp -a and runc",
    directory: place,
    most: 10,
    prepare(ids) {
      for (const id of ids) execFileSync("cp", ["-a", "--reflink=auto", tree, join(made, id)]);
    },
    run(id, command) {
      const bundle = makeBundle(setting, `copied-${id}`, command, {});
      const root = join(place, id);
      renameSync(join(made, id), root);
      const file = join(bundle, "config.json");
      const config = JSON.parse(readFileSync(file, "utf8"));
      writeFileSync(file, JSON.stringify({ ...config, root: { path: root } }));
      return start(["runc", "--root", state, "run", "-d", "--bundle", bundle, id]);
    },
    async end(ids) {
      await endAll(ids, state);
      execFileSync("rm", ["-rf", "--one-file-system", made, place]);
      await settle(setting);
    },
  };
}

async function podmanWay(scene: Scene): Promise<Way> {
  const podman = await podmanWithImage(scene);
  return {
    name: "podman",
    directory: join(scene.host.dir, "podman"),
    run: (id, command) => podman.ok("run", "-d", "--name", id, "--network", "none", IMAGE, ...command),
    end: () => podman.removeAll(),
  };
}

async function dockerWay(scene: Scene): Promise<Way> {
  const { docker } = await dockerWithImage(scene);
  const must = async (...words: string[]) => {
    const { status, stderr } = await docker.docker(...words);
    if (status !== 0) throw new Error(`docker ${words[0]}: ${stderr}`);
  };
  return {
    name: "Docker",
    directory: join(scene.host.dir, "docker"),
    run: (id, command) => must("run", "-d", "--name", id, "--network", "none", IMAGE, ...command),
    end: async (ids) => void (await docker.docker("rm", "-f", ...ids)),
  };
}
