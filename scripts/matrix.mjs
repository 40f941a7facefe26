// npm run test:matrix [-- --run] [-- --check]: engine × feature × system in one table, docs/compatibility.md, from the reports
// that test:trixie, test:unstable, test:kernels and 'npm test' left. A cell without a new result stays as it was. A cell
// that got worse (works → refused → FAILED) is named, and the status is 1.
//   --run     run test:trixie, test:unstable and test:kernels first: hours on two cores
//   --check   write nothing
//   --page F  another page than docs/compatibility.md
// Reports: VENEER_SUITES/SUITE/var/lib/veneer-results, VENEER_KERNELS/results, VENEER_TEST_RESULTS.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(fileURLToPath(import.meta.url), "../..");
const features = JSON.parse(readFileSync(join(root, "scripts/matrix-features.json"), "utf8"));
const core = JSON.parse(readFileSync(join(root, "scripts/kernels/core-tests.json"), "utf8"));
const NOT_TRIED = "·";
let values;
try {
  const options = { run: { type: "boolean" }, check: { type: "boolean" }, page: { type: "string" } };
  ({ values } = parseArgs({ options }));
} catch {
  console.error("usage: npm run test:matrix -- [--run] [--check] [--page FILE]");
  process.exit(2);
}
const page = values.page ?? join(root, "docs/compatibility.md");

/** A system that the tests ran on: its name is the head of a column. */
function systems() {
  const found = [];
  const suites = process.env.VENEER_SUITES;
  for (const [suite, name] of [
    ["trixie", "Debian 13"],
    ["unstable", "Debian unstable"],
  ]) {
    const directory = join(
      suites ? join(suites, suite) : `/var/tmp/veneer-${suite}`,
      "var/lib/veneer-results",
    );
    const files = reportsIn(directory);
    if (files.length > 0)
      found.push({ name: `${name}, host's kernel`, files, versions: versionsIn(directory) });
  }
  const kernels = join(process.env.VENEER_KERNELS ?? "/var/tmp/veneer-kernels", "results");
  const byKernel = new Map();
  for (const file of reportsIn(kernels)) {
    const kernel = /([0-9]+\.[0-9]+)[^/]*\.json$/.exec(file)?.[1];
    if (kernel === undefined) continue;
    const name = `Debian 12, Linux ${kernel}${file.includes("arm64") ? ", arm64" : ""}`;
    byKernel.set(name, { name, kernel, files: [...(byKernel.get(name)?.files ?? []), file] });
  }
  found.push(...byKernel.values());
  if (process.env.VENEER_TEST_RESULTS) {
    const files = reportsIn(process.env.VENEER_TEST_RESULTS);
    const versions = spawnSync("sh", [join(root, "scripts/engine-versions.sh")], { encoding: "utf8" }).stdout;
    if (files.length > 0)
      found.push({ name: "Debian 12, host's kernel", files, versions: shortVersions(versions) });
  }
  return found;
}

function reportsIn(directory) {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => name.endsWith(".json"))
    .map((name) => join(directory, name));
}

function versionsIn(directory) {
  const file = join(directory, "versions");
  return existsSync(file) ? shortVersions(readFileSync(file, "utf8")) : "";
}

/** `runc 1.1.15, crun 1.21, …`, of what the engines say about themselves. */
function shortVersions(text) {
  const lines = [...text.matchAll(/^([\w-]+): (?!not installed).*?([0-9]+(?:\.[0-9]+)+)/gm)];
  return lines.map(([, name, version]) => `${name === "kernel" ? "Linux" : name} ${version}`).join(", ");
}

/** works, FAILED, what it is refused for, or undefined where no test of it ran. */
function cellOf({ file, test }, { files, kernel }) {
  const results = files.flatMap((path) => testsOf(path, file));
  const ours = results.filter(({ fullName }) => test === undefined || fullName.includes(test));
  const ran = ours.filter(({ status }) => status === "passed" || status === "failed");
  if (ran.some(({ status }) => status === "failed")) return "FAILED";
  if (ran.length > 0) return "works";
  // refused where all that is tested of it needs a later kernel
  const entries = core.filter(
    (entry) => entry.file === file && (test === undefined || entry.test.includes(test)),
  );
  const [since] = entries.map((entry) => entry.since);
  const isRefused = entries.length > 0 && entries.every((entry) => isBefore(kernel, entry.since));
  return isRefused ? `refused: Linux ${since}` : undefined;
}

/** What a report says about a file of tests. One that could not be loaded has failed. */
function testsOf(path, file) {
  const { testResults } = JSON.parse(readFileSync(path, "utf8"));
  return testResults
    .filter(({ name }) => name.endsWith(file))
    .flatMap(({ assertionResults, status }) =>
      assertionResults.length === 0 && status === "failed"
        ? [{ fullName: file, status: "failed" }]
        : assertionResults,
    );
}

function isBefore(kernel, since) {
  if (kernel === undefined || since === undefined) return false;
  const [major, minor] = kernel.split(".").map(Number);
  const [least, leastMinor] = since.split(".").map(Number);
  return major < least || (major === least && minor < leastMinor);
}

/** The table of the page: head, cells by `ENGINE|FEATURE`, and what each column is of. */
function readPage(text) {
  const lines = text.split("\n");
  const tables = lines
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .slice(1, -1)
        .split("|")
        .map((cell) => cell.trim()),
    );
  const at = tables.findIndex(([engine]) => engine === "engine");
  const columns = tables[at].slice(2);
  const rows = new Map();
  const about = new Map();
  for (const cells of tables.slice(at + 2))
    rows.set(`${cells[0]}|${cells[1]}`, new Map(columns.map((name, index) => [name, cells[index + 2]])));
  for (const cells of tables.slice(0, at))
    if (columns.includes(cells[0])) about.set(cells[0], cells.slice(1));
  return { columns, rows, about };
}

const rank = (cell) =>
  cell === "works" ? 3 : cell.startsWith("refused") ? 2 : cell === NOT_TRIED ? undefined : 1;

function isWorse(before, after) {
  return rank(before) !== undefined && rank(after) !== undefined && rank(after) < rank(before);
}

const row = (cells) => `| ${cells.join(" | ")} |`;

if (values.run) {
  for (const script of ["test:trixie", "test:unstable", "test:kernels"])
    spawnSync("npm", ["run", script], { cwd: root, stdio: "inherit" });
}
const text = readFileSync(page, "utf8");
const { columns, rows, about } = readPage(text);
const worse = [];
let tried = 0;
for (const system of systems()) {
  if (!columns.includes(system.name)) columns.push(system.name);
  let any = false;
  for (const feature of features) {
    const key = `${feature.engine}|${feature.feature}`;
    const cells = rows.get(key) ?? new Map();
    rows.set(key, cells);
    const cell = cellOf(feature, system);
    if (cell === undefined) continue;
    const before = cells.get(system.name) ?? NOT_TRIED;
    if (isWorse(before, cell))
      worse.push(`${feature.engine}: ${feature.feature} on ${system.name}: ${before} → ${cell}`);
    cells.set(system.name, cell);
    any = true;
    tried++;
  }
  if (!any) continue;
  const newest = new Date(Math.max(...system.files.map((path) => statSync(path).mtimeMs)))
    .toISOString()
    .slice(0, 10);
  about.set(system.name, [newest, system.versions || (about.get(system.name)?.[1] ?? "")]);
}
const known = new Set(features.map(({ engine, feature }) => `${engine}|${feature}`));
for (const key of rows.keys()) if (!known.has(key)) rows.delete(key);
const table = [
  row(["system", "last run", "versions"]),
  row(["---", "---", "---"]),
  ...columns.map((name) => row([name, ...(about.get(name) ?? ["never", ""])])),
  "",
  row(["engine", "feature", ...columns]),
  row(["---", "---", ...columns.map(() => "---")]),
  ...features.map(({ engine, feature }) =>
    row([
      engine,
      feature,
      ...columns.map((name) => rows.get(`${engine}|${feature}`)?.get(name) ?? NOT_TRIED),
    ]),
  ),
].join("\n");
const [head, , ...rest] = text.split(/<!-- (?:table|end) -->\n/);
if (rest.length !== 1)
  throw new Error("docs/compatibility.md has not one '<!-- table -->' and one '<!-- end -->'");
if (!values.check) writeFileSync(page, `${head}<!-- table -->\n${table}\n<!-- end -->\n${rest[0]}`);
console.log(`${tried} results, ${worse.length} got worse`);
for (const line of worse) console.log(`worse: ${line}`);
process.exitCode = worse.length > 0 ? 1 : 0;
