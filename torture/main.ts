/** `npm run torture`: faults, full disks, storms, made-up input and hostile containers, with counts of what was tried. */
import { existsSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { parseArgs } from "node:util";
import { PROGRAM } from "../test/helpers/host.ts";
import { tortureDisks } from "./disks.ts";
import { tortureFaults } from "./faults/faults.ts";
import { tortureFuzz } from "./fuzz/fuzz.ts";
import { tortureHostile } from "./hostile.ts";
import { Counts, lineOf, rerun, type Setting } from "./part.ts";
import { tortureStorms } from "./storms/storms.ts";

interface Part {
  readonly title: string;
  /** of the time that all parts have together */
  readonly weight: number;
  run(setting: Setting): Promise<void>;
}

const PARTS: Readonly<Record<string, Part>> = {
  faults: { title: "A kill and each error at each system call", weight: 9, run: tortureFaults },
  disks: { title: "Disks: full, without power, restored from a copy", weight: 4, run: tortureDisks },
  storms: { title: "Storms", weight: 7, run: tortureStorms },
  fuzz: { title: "Made-up input", weight: 4, run: tortureFuzz },
  hostile: { title: "Beside a hostile container", weight: 4, run: tortureHostile },
};

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    seed: { type: "string" },
    minutes: { type: "string" },
    match: { type: "string", multiple: true, default: [] },
    share: { type: "string", default: "1/1" },
    at: { type: "string" },
    json: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});

const names = values.only.length === 0 ? Object.keys(PARTS) : values.only;
const share = /^([1-9][0-9]*)\/([1-9][0-9]*)$/.exec(values.share);
const minutes = Number(values.minutes ?? (values.quick ? 1 : 28));
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const wrong =
  names.find((name) => !Object.hasOwn(PARTS, name)) ??
  (!share || Number(share[1]) > Number(share[2]) ? `--share ${values.share}` : undefined) ??
  (Number.isFinite(minutes) && Number.isInteger(seed) ? undefined : "--minutes or --seed");
if (values.help || wrong !== undefined) {
  const usage = [
    `usage: npm run torture -- [--quick] [--only ${Object.keys(PARTS).join("|")}]… [--seed N] [--minutes N]`,
    "                          [--match WORD]… [--share K/N] [--at CALL:NUMBER:KIND] [--json FILE]",
    "  --quick     one to two minutes; else about half an hour",
    "  --seed      of all that is chosen at random; printed at the start, and with each fault",
    "  --match     cases with this word in their names",
    "  --share     the Kth of N equal shares of all faults: N runs try each of them",
    "  --at        one fault alone",
    "  --json      write the counts there too",
  ];
  process.stderr.write(
    `${wrong === undefined ? "" : `torture: no such part or value: ${wrong}\n`}${usage.join("\n")}\n`,
  );
  process.exit(wrong === undefined ? 0 : 2);
}
if (process.geteuid?.() !== 0 || !existsSync(PROGRAM)) {
  process.stderr.write("torture: needs root and dist/veneer; hint: run 'npm run build', then this as root\n");
  process.exit(1);
}

const begin = Date.now();
const whole = names.reduce((sum, name) => sum + (PARTS[name] as Part).weight, 0);
let left = whole;
let faults = 0;
const results: Record<
  string,
  { seconds: number; numbers: Record<string, number>; notes: string[]; faults: unknown[] }
> = {};
process.stdout.write(
  `torture: seed ${seed}, ${minutes} minutes, Linux ${release()}, ${cpus().length} cores, load ${loadavg()[0]?.toFixed(1)}\n`,
);
for (const name of names) {
  const part = PARTS[name] as Part;
  // what a part leaves of its time goes to those after it
  const now = Date.now();
  const deadline = now + ((begin + minutes * 60_000 - now) * part.weight) / left;
  left -= part.weight;
  const counts = new Counts();
  const setting: Setting = {
    quick: values.quick,
    seed,
    deadline,
    match: values.match,
    ...(values.at !== undefined && { at: values.at }),
    share: { index: Number(share?.[1]) - 1, of: Number(share?.[2]) },
    counts,
  };
  try {
    await part.run(setting);
  } catch (error) {
    counts.fault(
      `${name}: ${error instanceof Error ? (error.stack ?? lineOf(error)) : lineOf(error)}`,
      rerun(setting, name),
    );
  }
  const seconds = Math.round((Date.now() - now) / 1000);
  results[name] = {
    seconds,
    numbers: Object.fromEntries(counts.numbers),
    notes: counts.notes,
    faults: counts.faults,
  };
  faults += counts.faults.length;
  process.stdout.write(`\n${part.title} (${name}), ${seconds} s: ${counts.faults.length} faults\n`);
  for (const [what, count] of counts.numbers)
    process.stdout.write(`${String(count).padStart(10)}  ${what}\n`);
  for (const note of counts.notes) process.stdout.write(`            ${note}\n`);
}
if (values.json !== undefined) {
  const about = { date: new Date().toISOString(), kernel: release(), seed, minutes, quick: values.quick };
  writeFileSync(values.json, `${JSON.stringify({ ...about, parts: results }, null, 2)}\n`);
}
process.stdout.write(`\ntorture: ${faults === 0 ? "nothing failed" : `${faults} faults`}\n`);
process.exit(faults === 0 ? 0 : 1);
