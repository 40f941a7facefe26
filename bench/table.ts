/** What a benchmark prints. */
import type { Result } from "./measure.ts";

export interface Row {
  readonly what: string;
  /** ratio of the medians, or undefined for what was skipped */
  readonly ratio?: number;
  /** what the ratio and the goal are measured in, where they are no ratios */
  readonly unit?: string;
  /** the ratio must not be above it */
  readonly goal?: number;
  /** why it was not measured */
  readonly skipped?: string;
  /** what broke */
  readonly failed?: string;
}

export interface Report {
  readonly title: string;
  readonly rows: readonly Row[];
  readonly results: readonly Result[];
  readonly notes?: readonly string[];
  /** the day, and how busy the machine was */
  readonly when?: string;
}

/** Whether a contender is veneer: its name says so, unless all of a part are. */
export function isOurs({ results }: Pick<Report, "results">, name: string): boolean {
  return name.includes("veneer") || !results.some((result) => result.name.includes("veneer"));
}

export function verdict(row: Row): "PASS" | "MISS" | "SKIP" | "FAIL" | "" {
  if (row.failed !== undefined) return "FAIL";
  if (row.ratio === undefined) return "SKIP";
  if (row.goal === undefined) return "";
  return row.ratio <= row.goal ? "PASS" : "MISS";
}

/** `of` as a multiple of `against`; broken where either has no result. */
export function compare(
  what: string,
  results: readonly Result[],
  of: string,
  against: string,
  goal?: number,
): Row {
  const find = (name: string) => results.find((result) => result.name === name)?.median ?? Number.NaN;
  const missing = [of, against].filter((name) => Number.isNaN(find(name)));
  if (missing.length > 0) return { what, failed: `no result of ${missing.join(", ")}` };
  return { what, ratio: find(of) / find(against), ...(goal !== undefined && { goal }) };
}

export function formatReport(report: Report): string {
  const lines = [report.title];
  for (const row of report.rows) {
    const unit = row.unit === undefined ? "×" : ` ${row.unit}`;
    const ratio = row.ratio === undefined ? "     — " : `${row.ratio.toFixed(2).padStart(6)}${unit}`;
    const goal = row.goal === undefined ? "          " : `≤ ${row.goal.toFixed(2).padStart(5)}${unit}  `;
    const end = row.failed ?? row.skipped ?? "";
    lines.push(`  ${verdict(row).padEnd(4)} ${ratio}  ${goal} ${row.what}${end === "" ? "" : ` (${end})`}`);
  }
  if (report.results.length > 0) lines.push(formatResults(report.results));
  for (const note of [...(report.notes ?? []), ...(report.when ? [report.when] : [])]) {
    lines.push(`  note: ${note}`);
  }
  return lines.join("\n");
}

/** For docs/benchmarks.md: ratios and goals first, then one machine's times. */
export function formatMarkdown(reports: readonly Report[]): string {
  const lines: string[] = [];
  for (const { title, rows, results, notes = [], when } of reports) {
    lines.push(`### ${title}`, "", ...(when === undefined ? [] : [`${when}.`, ""]));
    if (rows.length > 0) lines.push("| | ratio | goal | |", "|---|---:|---:|---|");
    for (const row of rows) {
      const unit = row.unit ?? "×";
      const ratio = row.ratio === undefined ? "—" : `${row.ratio.toFixed(2)} ${unit}`;
      const goal = row.goal === undefined ? "" : `≤ ${row.goal.toFixed(2)} ${unit}`;
      const word = {
        PASS: "met",
        MISS: "missed",
        SKIP: `not measured: ${row.skipped}`,
        FAIL: `broken: ${row.failed}`,
        "": "",
      };
      lines.push(`| ${row.what} | ${ratio} | ${goal} | ${word[verdict(row)]} |`);
    }
    if (results.length > 0) {
      lines.push(
        "",
        "| median of the runs | ms | fastest | nine of ten below | runs |",
        "|---|---:|---:|---:|---:|",
      );
    }
    for (const { name, median, min, p90, samples } of results) {
      const times = [median, min, p90].map((time) => time.toFixed(1));
      lines.push(`| ${[name, ...times, samples.length].join(" | ")} |`);
    }
    lines.push("", ...notes.flatMap((note) => [`- ${note}`]), ...(notes.length > 0 ? [""] : []));
  }
  return lines.join("\n");
}

/** Medians, fastest tenths and slowest tenths, each as a multiple of the first contender too. */
export function formatResults(results: readonly Result[]): string {
  const first = results[0]?.median ?? Number.NaN;
  const width = Math.max(...results.map((result) => result.name.length));
  const lines = [`       ${"".padEnd(width)}  median ms     min     p90   ratio   runs`];
  for (const { name, median, min, p90, samples } of results) {
    const figures = [median.toFixed(2).padStart(11), min.toFixed(2).padStart(8), p90.toFixed(2).padStart(8)];
    const ratio = `${(median / first).toFixed(2)}×`.padStart(8);
    lines.push(
      `       ${name.padEnd(width)}${figures.join("")}${ratio}${String(samples.length).padStart(7)}`,
    );
  }
  return lines.join("\n");
}
