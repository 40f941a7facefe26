/** What got slower since an earlier `npm run bench -- --json`. */
import { readFileSync } from "node:fs";
import { summarize } from "./measure.ts";
import type { Report } from "./table.ts";

/**
 * A line for each contender that got slower than the noise. The machine's own speed is taken out first: the median of
 * what all contenders of a part changed by. Slower is one whose quicker three quarters of runs are all above the
 * slower quarter of the earlier ones; one run that was disturbed says nothing. Throws when the file is no report.
 */
export function slowerThan(file: string, reports: readonly Report[]): string[] {
  const earlier = readEarlier(file);
  return reports.flatMap((report) => {
    const before = earlier.find(({ title }) => title === report.title);
    const pairs = report.results.flatMap((result) => {
      const same = before?.results.find(({ name }) => name === result.name);
      return same && same.samples.length > 0 && result.samples.length > 0 ? [{ now: result, old: same }] : [];
    });
    const drift = median(pairs.map(({ now, old }) => now.median / old.median));
    return pairs.flatMap(({ now, old }) => {
      const least = quantile(now.samples, 0.25) / drift;
      if (!(least > quantile(old.samples, 0.75))) return [];
      const ratio = (now.median / drift / old.median).toFixed(2);
      return [`${report.title}: ${now.name}: ${ratio} × of before (${old.median.toFixed(1)} ms then)`];
    });
  });
}

function readEarlier(file: string): Report[] {
  const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
  const isReport = (value: unknown): value is Report =>
    typeof value === "object" && value !== null && "title" in value && "results" in value;
  if (Array.isArray(parsed) && parsed.every(isReport)) return parsed;
  throw new Error(`${file} is not what 'npm run -s bench -- --json' prints`);
}

const median = (values: readonly number[]) => summarize("", values).median || 1;

function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}
