/** Lives in random order with random kills, and everything else that can go on beside them; then a count of what is left. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { inParallel } from "../../src/process/parallel.ts";
import { PROGRAM } from "../../test/helpers/host.ts";
import { ageTemporaries } from "../../test/helpers/leftovers.ts";
import { randomNumbers } from "../../test/helpers/random-edits.ts";
import { mustBeEmpty, startsRight, succeeds, verifyAll } from "../faults/trial.ts";
import { makeWorld } from "../faults/world.ts";
import { lineOf, rerun, type Setting, timeIsUp } from "../part.ts";
import { INSTANCES, live } from "./lives.ts";
import type { Storm } from "./storm.ts";
import { leftSince, surroundings } from "./surroundings.ts";

const LIVES = 10_000;
const AT_ONCE = 8;
const BURST = 64;

export async function tortureStorms(setting: Setting): Promise<void> {
  const { counts, seed, quick } = setting;
  const again = rerun(setting, "storms");
  const world = await makeWorld("storm");
  const storm: Storm = { world, counts, journals: new Map(), faults: [] };
  const begin = Date.now();
  try {
    await world.reset();
    const before = surroundings(world);
    for (let id = 0; id < INSTANCES; id++) await world.ok("create", `s${id}`, "b");
    if (!quick) await burst(storm);
    const numbers = Array.from({ length: quick ? 100 : LIVES }, (_, index) => index);
    // what is left of the time is for looking at what is left of the lives
    const patient = { deadline: setting.deadline - Math.min(60_000, (setting.deadline - begin) * 0.2) };
    await inParallel(AT_ONCE, numbers, async (number) => {
      if ((number >= AT_ONCE && timeIsUp(patient)) || storm.faults.length > 20) return;
      await live({ ...storm, number, random: randomNumbers(seed + Math.imul(number, 0x9e3779b1)) });
      counts.add("lives and commands");
    });
    if (!quick) await burst(storm);
    await settle(storm);
    for (const left of await leftSince(world, before)) counts.fault(`left after the storm: ${left}`, again);
    counts.add("files more than before, of new versions", surroundings(world).files - before.files);
  } catch (error) {
    counts.fault(lineOf(error), again);
  } finally {
    for (const fault of storm.faults) counts.fault(fault, again);
    await world.remove();
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

/** Everything ended: each journal, what every base and instance is, and nothing else. */
async function settle(storm: Storm): Promise<void> {
  const { world, counts } = storm;
  const state = join(world.dir, "state");
  for (const id of existsSync(state) ? readdirSync(state) : [])
    await world.run("runc", ["--root", state, "delete", "--force", id]);
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
