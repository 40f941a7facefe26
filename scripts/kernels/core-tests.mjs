/**
 * core-tests.mjs select KERNEL [FEATURE…]: prints what the guest gives to vitest: a pattern of test names, then files.
 * core-tests.mjs table RESULT…: prints what vitest reported of each kernel as a table; status 1 on a fault.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const entries = JSON.parse(readFileSync(join(import.meta.dirname, "core-tests.json"), "utf8"));
/** The oldest Linux that is not refused. */
const OLDEST = "5.12";
const [mode, ...words] = process.argv.slice(2);

/** Whether a kernel (`6.12.117+deb13-cloud-amd64`) is of a version (`6.3`) or a later one. */
function isSince(kernel, since) {
  const [major, minor] = kernel.split(/[.+-]/).map(Number);
  const [least, leastMinor] = since.split(".").map(Number);
  return major > least || (major === least && minor >= leastMinor);
}

/** Whether an entry is for this kernel. One that is refused runs the tests of that alone. */
function isFor(kernel, { since = "0.0", until }) {
  if (!isSince(kernel, OLDEST)) return until !== undefined && !isSince(kernel, until);
  return until === undefined && isSince(kernel, since);
}

function select(kernel, features) {
  const chosen = entries.filter(
    (entry) =>
      isFor(kernel, entry) && (features.length === 0 || features.some((one) => entry.feature.includes(one))),
  );
  if (chosen.length === 0) {
    console.error(
      `test:kernels: no feature of core-tests.json is for ${kernel} and has ${features.join(" or ")} in its name`,
    );
    process.exit(2);
  }
  const names = chosen.map(({ test }) => test.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  console.log([names.join("|"), ...new Set(chosen.map(({ file }) => file))].join("\n"));
}

/** What came of one entry: the worst of all tests that bear its name in its file. */
function outcomeOf({ file, test }, report) {
  const tests = report.testResults
    .filter(({ name }) => name.endsWith(file))
    .flatMap(({ assertionResults, status }) =>
      assertionResults.length === 0 && status === "failed"
        ? [{ fullName: test, status: "failed" }]
        : assertionResults,
    )
    .filter(
      ({ fullName, status }) => fullName.includes(test) && status !== "pending" && status !== "skipped",
    );
  if (tests.length === 0) return "-";
  return tests.every(({ status }) => status === "passed") ? "passed" : "FAILED";
}

function cellOf(feature, kernel, report) {
  const all = entries.filter((entry) => entry.feature === feature);
  if (!all.some((entry) => isFor(kernel, entry)) && all.every(({ since }) => since === undefined)) return "-";
  const since = all.map((entry) => entry.since).find((one) => one !== undefined && !isSince(kernel, one));
  if (since !== undefined) return `from ${since}`;
  const outcomes = all.map((entry) => outcomeOf(entry, report));
  return outcomes.includes("FAILED") ? "FAILED" : outcomes.includes("-") ? "-" : "passed";
}

function table(files) {
  const reports = files.map((file) => {
    try {
      return { name: basename(file, ".json"), report: JSON.parse(readFileSync(file, "utf8")) };
    } catch {
      return { name: basename(file, ".json"), report: undefined };
    }
  });
  const columns = reports.map(({ name }) => name.replace(/[+-].*(amd64|arm64)/, ""));
  const rows = [...new Set(entries.map(({ feature }) => feature))].map((feature) => [
    feature,
    ...reports.map(({ name, report }) => (report ? cellOf(feature, name, report) : "no result")),
  ]);
  const run = rows.filter(([, ...cells]) => cells.some((cell) => cell !== "-"));
  const lines = [["feature", ...columns], ["---", ...columns.map(() => "---")], ...run];
  const text = lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
  console.log(text);
  if (files[0]) writeFileSync(join(dirname(files[0]), "table.md"), `${text}\n`);
  for (const { name, report } of reports) {
    for (const { assertionResults = [], name: file } of report?.testResults ?? []) {
      for (const { status, fullName, failureMessages } of assertionResults) {
        if (status === "failed")
          console.log(`${name}: ${file}: ${fullName}\n  ${failureMessages?.[0]?.split("\n")[0]}`);
      }
    }
  }
  const faults = rows.flat().filter((cell) => cell === "FAILED" || cell === "no result").length;
  if (faults > 0) process.exitCode = 1;
}

if (mode === "select") select(words[0], words.slice(1));
else table(words);
