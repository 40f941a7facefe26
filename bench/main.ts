/** `npm run bench`: all comparisons with their goals. */
import { existsSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { CannotRun } from "./compile.ts";
import { makeSetting, type Setting, VENEER } from "./context.ts";
import { benchCrowd } from "./crowd.ts";
import { slowerThan } from "./earlier.ts";
import { benchGrowth } from "./growth.ts";
import { benchHook } from "./hook.ts";
import { benchHooked } from "./hooked.ts";
import { benchImage } from "./image.ts";
import { benchImport } from "./import.ts";
import { benchInstances } from "./instances.ts";
import { benchLxc } from "./lxc.ts";
import { benchLxcUserns } from "./lxc-userns.ts";
import { benchPeers } from "./peers.ts";
import { benchRebase } from "./rebase.ts";
import { benchRunc } from "./runc.ts";
import { benchSharing } from "./sharing.ts";
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
  sharing: { title: "One file in many layers", runs: [1, 1], run: benchSharing },
  rebase: { title: "Live rebase", runs: [100, 20], run: benchRebase },
  growth: { title: "Growth", runs: [20, 6], run: benchGrowth },
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
const names = positionals.length === 0 ? Object.keys(PARTS) : positionals;
const unknown = names.find((name) => !Object.hasOwn(PARTS, name));
if (values.help || unknown !== undefined) {
  const usage = `usage: npm run bench -- [--quick] [-n RUNS] [--json|--markdown] [--compare FILE] [${Object.keys(PARTS).join("|")}]…\n`;
  process.stderr.write(unknown === undefined ? usage : `bench: no part '${unknown}'\n${usage}`);
  process.exit(unknown === undefined ? 0 : 2);
}
if (process.geteuid?.() !== 0 || !existsSync(VENEER)) {
  process.stderr.write("bench: needs root and dist/veneer; hint: run 'npm run build', then this as root\n");
  process.exit(1);
}

// a terminal's Ctrl-C ends the commands that are measured; the part then fails and cleans up after itself
process.on("SIGINT", () => {});
const [load = 0] = loadavg();
if (load > cpus().length / 4) {
  process.stderr.write(
    `bench: the machine is busy (load ${load.toFixed(1)}): ratios are rough, times more so\n`,
  );
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
if (values.markdown) process.stdout.write(formatMarkdown(reports));
if (!values.json && !values.markdown) {
  const summary = `${count("PASS")} goals met, ${count("MISS")} missed, ${count("SKIP")} skipped, ${count("FAIL")} broken`;
  process.stdout.write(`${summary}; ${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}\n`);
}
const slower = values.compare === undefined ? [] : slowerThan(values.compare, reports);
for (const line of slower) process.stderr.write(`slower: ${line}\n`);
if (values.compare !== undefined && slower.length === 0) process.stderr.write("nothing is slower\n");
process.exitCode = slower.length + count("MISS") + count("FAIL") > 0 ? 1 : 0;

/** A part that cannot run here is skipped with its reason; one that breaks is a goal missed. */
async function measured(part: Part, runs: number): Promise<Report> {
  const { title } = part;
  try {
    return await part.run(setting, runs, values.quick);
  } catch (error) {
    if (error instanceof CannotRun)
      return { title, rows: [{ what: title, skipped: error.message }], results: [] };
    const failed = error instanceof Error ? error.message : String(error);
    return { title, rows: [{ what: title, failed }], results: [] };
  }
}
