/** `npm run bench`: all comparisons with their goals. */
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { CannotRun } from "./compile.ts";
import { makeSetting, type Setting, VENEER } from "./context.ts";
import { benchCrowd } from "./crowd.ts";
import { readEarlier, slowerThan } from "./earlier.ts";
import { benchFiles, benchLayers } from "./growth/bases.ts";
import { benchAlive, benchAtOnce, benchUppers } from "./growth/containers.ts";
import { benchManyInstances } from "./growth/instances.ts";
import { benchHook } from "./hook/hook.ts";
import { benchHooked } from "./hook/hooked.ts";
import { benchImage } from "./image.ts";
import { benchImport } from "./import.ts";
import { benchInstances } from "./instances.ts";
import { benchLxc } from "./lxc.ts";
import { benchLxcUserns } from "./lxc-userns.ts";
import { describeMachine, load } from "./machine.ts";
import { benchPeers } from "./peers/peers.ts";
import { benchRebase } from "./rebase.ts";
import { benchRunc } from "./runc.ts";
import { benchContainers } from "./sharing/containers.ts";
import { benchSharing } from "./sharing/files.ts";
import { benchStartup } from "./startup.ts";
import { formatMarkdown, formatReport, type Report, verdict } from "./table.ts";
import { benchUserns } from "./userns.ts";

interface Part {
  readonly title: string;
  /** runs of each contender; with --quick */
  readonly runs: readonly [usual: number, quick: number];
  run(setting: Setting, runs: number, quick: boolean): Promise<Report>;
}

const PARTS: Readonly<Record<string, Part>> = {
  peers: { title: "Peers", runs: [24, 6], run: benchPeers },
  startup: { title: "Start-up", runs: [60, 15], run: benchStartup },
  hook: { title: "OCI hook", runs: [60, 15], run: benchHook },
  hooked: { title: "Container by OCI hook", runs: [40, 12], run: benchHooked },
  runc: { title: "Wrapping runtime", runs: [60, 15], run: benchRunc },
  userns: { title: "User namespaces", runs: [40, 12], run: benchUserns },
  lxc: { title: "LXC", runs: [40, 12], run: benchLxc },
  "lxc-userns": { title: "LXC, user namespaces", runs: [40, 12], run: benchLxcUserns },
  instances: { title: "Named instances", runs: [60, 15], run: benchInstances },
  image: { title: "Images", runs: [10, 3], run: benchImage },
  import: { title: "Import", runs: [10, 3], run: benchImport },
  "sharing-files": { title: "One file in many layers", runs: [1, 1], run: benchSharing },
  "sharing-containers": { title: "Containers of one Debian", runs: [100, 10], run: benchContainers },
  rebase: { title: "Live rebase", runs: [100, 20], run: benchRebase },
  "growth-layers": { title: "Growth: layers of the base", runs: [20, 6], run: benchLayers },
  "growth-files": { title: "Growth: files of the base", runs: [20, 6], run: benchFiles },
  "growth-uppers": { title: "Growth: the upper at the end", runs: [10, 3], run: benchUppers },
  "growth-instances": { title: "Growth: instances in the store", runs: [20, 6], run: benchManyInstances },
  "growth-at-once": { title: "Growth: starts at once", runs: [1, 1], run: benchAtOnce },
  "growth-alive": { title: "Growth: containers alive", runs: [20, 6], run: benchAlive },
  crowd: { title: "Private placement", runs: [40, 12], run: benchCrowd },
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    runs: { type: "string", short: "n" },
    json: { type: "boolean", default: false },
    markdown: { type: "boolean", default: false },
    compare: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) {
  process.stdout.write(usage());
  process.exit(0);
}
const names = positionals.length === 0 ? Object.keys(PARTS) : positionals.flatMap(partsNamed);
if (values.runs !== undefined && !/^[1-9][0-9]{0,5}$/.test(values.runs)) {
  refuse(`-n ${values.runs}: not a number of runs`, 2);
}
// before anything is measured: a wrong name is not to cost the run
const earlier = values.compare === undefined ? undefined : earlierIn(values.compare);
if (process.geteuid?.() !== 0 || !existsSync(VENEER)) {
  refuse("needs root and dist/veneer; hint: run 'npm run build', then this as root", 1);
}

// a terminal's Ctrl-C ends the commands that are measured; the part then fails and cleans up after itself
process.on("SIGINT", () => {});
if (Number(load()) > cpus().length / 4) {
  process.stderr.write(`bench: the machine is busy (load ${load()}): ratios are rough, times more so\n`);
}

const setting = makeSetting();
const reports: Report[] = [];
for (const name of names) {
  const part = PARTS[name] as Part;
  const runs = values.runs === undefined ? part.runs[values.quick ? 1 : 0] : Number(values.runs);
  const report = await measured(part, runs);
  reports.push(report);
  if (!values.json && !values.markdown) process.stdout.write(`${formatReport(report)}\n\n`);
}
const rows = reports.flatMap((report) => report.rows);
const count = (word: string) => rows.filter((row) => verdict(row) === word).length;
if (values.json) {
  const judged = reports.map((report) => ({
    ...report,
    rows: report.rows.map((row) => ({ ...row, verdict: verdict(row) })),
  }));
  process.stdout.write(`${JSON.stringify(judged, null, 2)}\n`);
}
if (values.markdown) process.stdout.write(`${describeMachine()}.\n\n${formatMarkdown(reports)}`);
if (!values.json && !values.markdown) {
  const summary = `${count("PASS")} goals met, ${count("MISS")} missed, ${count("SKIP")} skipped, ${count("FAIL")} broken`;
  process.stdout.write(`${summary}\n${describeMachine()}\n`);
}
const slower = earlier === undefined ? [] : slowerThan(earlier, reports);
for (const line of slower) process.stderr.write(`slower: ${line}\n`);
if (earlier !== undefined && slower.length === 0) process.stderr.write("nothing is slower\n");
process.exitCode = slower.length + count("MISS") + count("FAIL") > 0 ? 1 : 0;

function usage(): string {
  return `usage: npm run bench -- [--quick] [-n RUNS] [--json|--markdown] [--compare FILE] [PART]…
parts: ${Object.keys(PARTS).join(", ")}; growth and sharing stand for all that begin so
`;
}

/** Ends with one line that says why. */
function refuse(why: string, status: number): never {
  process.stderr.write(`bench: ${why}\n`);
  process.exit(status);
}

/** A part, or all of a group: `growth` is every `growth-…`. */
function partsNamed(name: string): string[] {
  if (Object.hasOwn(PARTS, name)) return [name];
  const group = Object.keys(PARTS).filter((part) => part.startsWith(`${name}-`));
  return group.length > 0 ? group : refuse(`no part '${name}'\n${usage().trimEnd()}`, 2);
}

function earlierIn(file: string): Report[] {
  try {
    return readEarlier(file);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return refuse(`--compare ${file}: ${why}`, 2);
  }
}

/** A part that cannot run here is skipped with its reason; one that breaks is a goal missed. */
async function measured(part: Part, runs: number): Promise<Report> {
  const { title } = part;
  const before = load();
  try {
    const report = await part.run(setting, runs, values.quick);
    const day = new Date().toISOString().slice(0, 10);
    return { ...report, when: `${day}, load ${before} when it began, ${load()} when it ended` };
  } catch (error) {
    if (error instanceof CannotRun)
      return { title, rows: [{ what: title, skipped: error.message }], results: [] };
    const failed = error instanceof Error ? error.message : String(error);
    return { title, rows: [{ what: title, failed }], results: [] };
  }
}
