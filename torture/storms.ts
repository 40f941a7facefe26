/** Lives in random order with random kills, and everything else that can go on beside them; then a count of what is left. */
import { readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inParallel } from "../src/process/parallel.ts";
import { makeBundle, nextId } from "../test/helpers/bundle.ts";
import { type Outcome, PROGRAM } from "../test/helpers/host.ts";
import { ageTemporaries } from "../test/helpers/leftovers.ts";
import { mountTable } from "../test/helpers/mounts.ts";
import { randomNumbers } from "../test/helpers/random-edits.ts";
import { mustBeEmpty, startsRight, succeeds, verifyAll } from "./faults/trial.ts";
import { distOf, HUNG, makeWorld, type World } from "./faults/world.ts";
import { type Counts, lineOf, type Setting, timeIsUp } from "./part.ts";

const LIVES = 10_000;
const AT_ONCE = 8;
const BURST = 64;
/** Persistent instances that lives share. */
const INSTANCES = 12;
/** Of a hundred commands, as many are killed at a moment of their own. */
const KILLED = 15;

/** What an instance's file must say: lines that were acknowledged, and lines of lives that were killed. */
interface Journal {
  readonly written: string[];
  readonly perhaps: Set<string>;
}

interface Storm {
  readonly world: World;
  readonly counts: Counts;
  readonly random: (limit: number) => number;
  readonly journals: Map<string, Journal>;
  readonly faults: string[];
}

/** Runs a command, which may be killed at a random moment; undefined when it was. */
async function command(
  storm: Storm,
  file: string,
  args: readonly string[],
  kills = true,
): Promise<Outcome | undefined> {
  const { world, counts, random } = storm;
  const isKilled = kills && random(100) < KILLED;
  const words = isKilled
    ? ["-s", "KILL", `0.${String(random(400)).padStart(3, "0")}`, file, ...args]
    : [file, ...args];
  const outcome = await world.run(isKilled ? "timeout" : (words[0] as string), isKilled ? words : args);
  if (isKilled && outcome.status >= 128) {
    counts.add("kills at random moments");
    return undefined;
  }
  return outcome;
}

/** What a busy host may answer: the name of the error, as docs/errors.md has it. */
const REFUSALS =
  /\[(HELD|BUSY|IN_USE|EDITED|BEING_EDITED|SESSION|NO_SESSION|CHANGED|MOVING|RUNNING|MOUNTED|NOT_MOUNTED|NO_INSTANCE|NO_VERSION|NO_BASE|INSTANCE_EXISTS|EXISTS|ROLLOUT|NO_GENERATION|CONFLICT|LOCKED|NOTHING)[A-Z_]*\]/;

function check({ counts, faults }: Storm, what: string, outcome: Outcome | undefined): boolean {
  if (outcome === undefined) return false;
  if (outcome.status === 0) return true;
  const code = /\[([A-Z_]+)\]/.exec(outcome.stderr)?.[1];
  if (outcome.status === HUNG) faults.push(`${what} hangs`);
  else if (/internal error|TypeError|ReferenceError|\.ts:[0-9]/.test(outcome.stderr))
    faults.push(`${what}: ${outcome.stderr.slice(0, 400)}`);
  else if (outcome.status >= 128)
    faults.push(`${what} ended by signal ${outcome.status - 128}: ${outcome.stderr.slice(0, 200)}`);
  else if (!REFUSALS.test(outcome.stderr))
    faults.push(`${what}: status ${outcome.status}: ${outcome.stderr.slice(0, 400)}`);
  else counts.add(`refused in words: ${code}`);
  return false;
}

const veneer = (storm: Storm, ...words: string[]) =>
  command(storm, PROGRAM, [...storm.world.words, ...words]);

let lives = 0;

/** A life on an instance: it writes a line, and says so. */
async function journalled(storm: Storm): Promise<void> {
  const id = `s${storm.random(INSTANCES)}`;
  const line = `life ${++lives}`;
  const journal = storm.journals.get(id) ?? { written: [], perhaps: new Set<string>() };
  storm.journals.set(id, journal);
  const outcome = await veneer(
    storm,
    "run",
    "b",
    "--name",
    id,
    "--",
    "sh",
    "-c",
    `echo ${line} >>/journal && echo said`,
  );
  if (check(storm, "run --name", outcome) && outcome?.stdout === "said") journal.written.push(line);
  else journal.perhaps.add(line);
}

async function ephemeral(storm: Storm): Promise<void> {
  const outcome = await veneer(storm, "run", "b", "--", "cat", "/etc/version");
  if (check(storm, "run", outcome) && !/^[0-9]+$/.test(outcome?.stdout ?? ""))
    storm.faults.push(`run printed '${outcome?.stdout}'`);
}

async function wrapped(storm: Storm): Promise<void> {
  const { world } = storm;
  const bundle = makeBundle(join(world.dir, "work", nextId()), "cat /etc/version", (config) =>
    Object.assign(config.annotations, {
      "run.veneer.base": "b",
      ...(storm.random(2) === 0 && { "run.veneer.tmpfs": "1m" }),
    }),
  );
  const store = ["--veneer-store", world.host.root, world.host.run, join(world.dir, "config/veneer.json")];
  const id = nextId();
  const state = ["--root", join(world.dir, "state")];
  const outcome = await command(storm, distOf("veneer-runc"), [...store, ...state, "run", "-b", bundle, id]);
  if (outcome === undefined) await world.run("runc", [...state, "delete", "--force", id]);
  else if (check(storm, "veneer-runc", outcome) && !/^[0-9]+$/.test(outcome.stdout))
    storm.faults.push(`veneer-runc printed '${outcome.stdout}'`);
  rmSync(bundle, { recursive: true, force: true });
}

let changes = 0;

/** What goes on beside the lives, each with a weight. */
const BESIDE: readonly (readonly [weight: number, run: (storm: Storm) => Promise<unknown>])[] = [
  [30, ephemeral],
  [30, journalled],
  [15, wrapped],
  [4, async (storm) => check(storm, "gc", await veneer(storm, "gc"))],
  [
    2,
    async (storm) =>
      check(
        storm,
        "base edit",
        await veneer(storm, "base", "edit", "line", "--", "touch", `/edited-${++changes}`),
      ),
  ],
  [
    2,
    async (storm) => {
      writeFileSync(join(storm.world.dir, "tree2/etc/changed"), `${++changes}`);
      check(
        storm,
        "base import",
        await veneer(storm, "base", "import", "line", join(storm.world.dir, "tree2")),
      );
    },
  ],
  [
    3,
    async (storm) => check(storm, "base use", await veneer(storm, "base", "use", `b@${1 + storm.random(2)}`)),
  ],
  [
    2,
    async (storm) => check(storm, "rollout", await veneer(storm, "rollout", "b", "--pause-limit", "60000")),
  ],
  [
    4,
    async (storm) =>
      check(
        storm,
        "rebase",
        await veneer(
          storm,
          "rebase",
          "--pause-limit",
          "60000",
          `s${storm.random(INSTANCES)}`,
          `b@${1 + storm.random(2)}`,
        ),
      ),
  ],
  [
    2,
    async (storm) =>
      check(storm, "cutover", await veneer(storm, "cutover", "web", `b@${1 + storm.random(2)}`)),
  ],
  [2, async (storm) => check(storm, "fallback", await veneer(storm, "fallback", "web"))],
  [2, async (storm) => check(storm, "clone", await veneer(storm, "clone", "kept", `copy${storm.random(4)}`))],
  [2, async (storm) => check(storm, "rm", await veneer(storm, "rm", `copy${storm.random(4)}`))],
  [1, async (storm) => check(storm, "ls", await veneer(storm, "ls"))],
  [1, async (storm) => check(storm, "ps", await veneer(storm, "ps"))],
  [1, async (storm) => check(storm, "dedupe", await veneer(storm, "dedupe"))],
];

const WHOLE = BESIDE.reduce((sum, [weight]) => sum + weight, 0);

async function oneOf(storm: Storm): Promise<void> {
  let at = storm.random(WHOLE);
  for (const [weight, run] of BESIDE) {
    at -= weight;
    if (at >= 0) continue;
    await run(storm);
    return;
  }
}

/** 64 starts in the same moment: each succeeds. */
async function burst(storm: Storm): Promise<void> {
  const { world, counts } = storm;
  const begin = Date.now();
  const outcomes = await Promise.all(
    Array.from({ length: BURST }, () =>
      world.run(PROGRAM, [...world.words, "run", "b", "--", "cat", "/etc/version"], { limit: 300 }),
    ),
  );
  for (const { status, stdout, stderr } of outcomes) {
    if (status !== 0 || !/^[0-9]+$/.test(stdout))
      storm.faults.push(`one of ${BURST} starts at once: status ${status}: ${stderr.slice(0, 300)}`);
  }
  counts.add("starts at once, 64 each time", BURST);
  counts.most("milliseconds of 64 starts at once, at most", Date.now() - begin);
}

export async function tortureStorms(setting: Setting): Promise<void> {
  const { counts, seed, quick } = setting;
  const again = `npm run torture -- --only storms --seed ${seed}`;
  const world = await makeWorld("storm");
  const storm: Storm = { world, counts, random: randomNumbers(seed), journals: new Map(), faults: [] };
  const begin = Date.now();
  try {
    await world.reset();
    const before = surroundings(world);
    for (let id = 0; id < INSTANCES; id++) await world.ok("create", `s${id}`, "b");
    if (!quick) await burst(storm);
    const tasks = Array.from({ length: quick ? 100 : LIVES }, (_, index) => index);
    // what is left of the time is for looking at what is left of the lives
    const patient = { deadline: setting.deadline - Math.min(60_000, (setting.deadline - begin) * 0.2) };
    await inParallel(AT_ONCE, tasks, async (index) => {
      if ((index >= AT_ONCE && timeIsUp(patient)) || storm.faults.length > 20) return;
      await oneOf(storm);
      counts.add("lives and commands");
    });
    if (!quick) await burst(storm);
    await settle(storm);
    for (const fault of storm.faults) counts.fault(fault, again);
    compare(counts, again, before, surroundings(world));
  } catch (error) {
    for (const fault of storm.faults) counts.fault(fault, again);
    counts.fault(lineOf(error), again);
  } finally {
    await world.remove();
  }
}

/** Everything ended: each journal, what every base and instance is, and nothing else. */
async function settle(storm: Storm): Promise<void> {
  const { world, counts } = storm;
  const state = join(world.dir, "state");
  for (const id of namesIn(state)) await world.run("runc", ["--root", state, "delete", "--force", id]);
  ageTemporaries(world.host);
  succeeds("gc", await world.veneer("gc"));
  await verifyAll(world);
  await startsRight(world);
  for (const [id, { written, perhaps }] of storm.journals) {
    const { status, stdout, stderr } = await world.veneer("run", "b", "--name", id, "--", "cat", "/journal");
    if (status !== 0 && written.length === 0) continue;
    if (status !== 0) throw new Error(`the journal of ${id}: ${stderr}`);
    const lines = stdout.split("\n");
    const missing = written.filter((line) => !lines.includes(line));
    const foreign = lines.filter((line) => !written.includes(line) && !perhaps.has(line));
    const twice = lines.filter((line, index) => lines.indexOf(line) !== index);
    if (missing.length + foreign.length + twice.length > 0)
      storm.faults.push(
        `${id} lacks ${missing.length} lines (${missing[0]}), has ${foreign.length} of others and ${twice.length} twice`,
      );
    counts.add("lines that instances had to have", written.length);
  }
  for (const { id } of JSON.parse(await world.ok("ls", "--json")))
    if (id !== "kept") await world.ok("rm", id);
  succeeds("gc at the end", await world.veneer("gc"));
  await mustBeEmpty(world);
}

const namesIn = (path: string) => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

interface Surroundings {
  readonly mounts: number;
  readonly descriptors: number;
  readonly records: number;
  readonly groups: number;
  /** files of the world's file system */
  readonly files: number;
}

function surroundings({ memory, host, dir }: World): Surroundings {
  const { files, ffree } = statfsSync(memory);
  return {
    mounts: mountTable().filter((line) => line.includes(`${dir}/`)).length,
    descriptors: namesIn("/proc/self/fd").length,
    records: namesIn(join(host.run, "records")).length,
    groups: readFileSync("/proc/cgroups", "utf8").length > 0 ? controlGroups().length : 0,
    files: files - ffree,
  };
}

/** Control groups of containers that bear a name of ours. */
function controlGroups(): string[] {
  return namesIn("/sys/fs/cgroup").flatMap((controller) =>
    namesIn(join("/sys/fs/cgroup", controller)).filter(
      (name) => name.startsWith("veneer-test-") || /^b-[0-9a-f]{12}$/.test(name),
    ),
  );
}

function compare(counts: Counts, again: string, before: Surroundings, after: Surroundings): void {
  for (const key of ["mounts", "descriptors", "records"] as const) {
    if (after[key] > before[key]) counts.fault(`${after[key] - before[key]} ${key} are left`, again);
  }
  counts.add("files more than before, of new versions", after.files - before.files);
}
