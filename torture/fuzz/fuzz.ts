/** Made-up input: on the parsers, on the programs, and guided by what it reaches in the C of the small program. */
import fc from "fast-check";
import { isChosen, lineOf, rerun, type Setting, timeIsUp } from "../part.ts";
import { fuzzCoverage } from "./coverage.ts";
import { PARSERS } from "./parsers.ts";
import { fuzzPrograms } from "./programs.ts";

/** Inputs of the parsers after which a run has had enough of them. */
const ENOUGH = 1_000_000;
/** Inputs between two looks at the time. */
const BATCH = 500;

export async function tortureFuzz(setting: Setting): Promise<void> {
  const begin = Date.now();
  const whole = setting.deadline - begin;
  const until = (part: number) => ({ ...setting, deadline: begin + whole * part });
  await fuzzParsers(until(0.4));
  await fuzzPrograms(until(0.7));
  await fuzzCoverage(until(1));
}

async function fuzzParsers(setting: Setting): Promise<void> {
  const { counts } = setting;
  const failed = new Set<string>();
  const parsers = PARSERS.filter(({ name }) => isChosen(setting, name));
  counts.add("parsers", parsers.length);
  let inputs = 0;
  for (let round = 0; inputs < ENOUGH && !timeIsUp(setting) && failed.size < parsers.length; round++) {
    for (const { name, property } of parsers) {
      if (failed.has(name) || timeIsUp(setting)) continue;
      const seed = setting.seed + round;
      const details = await fc.check(property, { seed, numRuns: BATCH });
      inputs += details.numRuns;
      if (!details.failed) continue;
      failed.add(name);
      const input = JSON.stringify(details.counterexample)?.slice(0, 300);
      counts.fault(
        `${name} of ${input}: ${lineOf(details.errorInstance)}`,
        rerun({ ...setting, seed }, "fuzz", `--match '${name}'`),
      );
    }
  }
  counts.add("inputs of the parsers", inputs);
}
