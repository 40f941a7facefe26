/** What got slower since an earlier `npm run bench -- --json`. */
import { readFileSync } from "node:fs";
import { summarize } from "./measure.ts";
import { isOurs, type Report } from "./table.ts";

/** Fewer runs than this have no quarters. */
const FEWEST = 4;

/** The reports in a file. Throws an error of one line when it cannot be read or is something else. */
export function readEarlier(file: string): Report[] {
  const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
  if (Array.isArray(parsed) && parsed.every(isReport)) return parsed;
  throw new Error("it is not what 'npm run -s bench -- --json' prints");
}

function isReport(value: unknown): value is Report {
  const { title, results } = (value ?? {}) as Partial<Report>;
  return (
    typeof title === "string" &&
    Array.isArray(results) &&
    results.every(({ name, samples }) => typeof name === "string" && Array.isArray(samples))
  );
}

/**
 * A line for each of our contenders that got slower than the noise. The machine's own speed is taken out first: the
 * median of what the contenders of a part that are not ours changed by, where there are any. Slower is one whose slower
 * three quarters of runs all took longer than the quicker three quarters of the earlier ones: single runs that were
 * disturbed say nothing.
 */
export function slowerThan(earlier: readonly Report[], reports: readonly Report[]): string[] {
  return reports.flatMap((report) => {
    const before = earlier.find(({ title }) => title === report.title);
    const pairs = report.results.flatMap((now) => {
      const old = before?.results.find(({ name }) => name === now.name);
      return old && Math.min(old.samples.length, now.samples.length) >= FEWEST ? [{ now, old }] : [];
    });
    const others = pairs.filter(({ now }) => !isOurs(report, now.name));
    const drift = median(others.map(({ now, old }) => now.median / median(old.samples)));
    return pairs.flatMap(({ now, old }) => {
      const least = quantile(now.samples, 0.25) / drift;
      if (!isOurs(report, now.name) || least <= quantile(old.samples, 0.75)) return [];
      const then = median(old.samples);
      const ratio = (now.median / drift / then).toFixed(2);
      return [`${report.title}: ${now.name}: ${ratio} × of before (${then.toFixed(1)} ms then)`];
    });
  });
}

/** 1 of nothing. */
const median = (values: readonly number[]) => summarize("", values).median || 1;

function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}
