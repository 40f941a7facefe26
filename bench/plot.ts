/**
 * `bun bench/plot.ts FILE DIRECTORY`: draws a report of `npm run -s bench -- --json` by gnuplot, one SVG a part: a bar is the
 * median of a contender, its whisker reaches from the fastest run to the one that nine of ten took no longer than.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { isOurs, type Report } from "./table.ts";

const [file, directory] = process.argv.slice(2);
if (file === undefined || directory === undefined) {
  process.stderr.write("usage: plot.ts FILE DIRECTORY\n");
  process.exit(2);
}
mkdirSync(directory, { recursive: true });
for (const report of JSON.parse(readFileSync(file, "utf8")) as Report[]) {
  if (report.results.length === 0) continue;
  const path = join(directory, `${report.title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}.svg`);
  execFileSync("gnuplot", { input: script(report, path), stdio: ["pipe", "inherit", "inherit"] });
  process.stdout.write(`${path}\n`);
}

function script({ title, results }: Report, path: string): string {
  const bars = [...results].sort((a, b) => b.median - a.median);
  const colour = (name: string) => (isOurs({ results }, name) ? 1 : 2);
  const quote = (text: string) => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
  const least = Math.min(...bars.map(({ min }) => min));
  const most = Math.max(...bars.map(({ p90 }) => p90));
  // bars of one length in eight cannot be told from each other
  const logarithmic = most / least > 8;
  const from = logarithmic ? least / 2 : 0;
  const how = `milliseconds from start to end${logarithmic ? ", on a logarithmic scale" : ""}`;
  const lines = bars.map(
    ({ name, median, min, p90 }, place) => `${place} ${median} ${min} ${p90} ${colour(name)} ${quote(name)}`,
  );
  return `set terminal svg size 840,${90 + 26 * bars.length} font "sans-serif,13" background "white"
set output ${quote(path)}
set title ${quote(`${title}: ${how}`)} noenhanced
set lmargin 38
set yrange [-0.7:${bars.length - 0.3}]
set grid xtics
unset key
${logarithmic ? "set logscale x\n" : ""}set xrange [${from}:${most * 1.15}]
$bars << END
${lines.join("\n")}
END
set style fill solid
set boxwidth 0.6
plot $bars using 2:1:(${from}):2:($1-0.3):($1+0.3):($5 == 1 ? 0x2a6f97 : 0xb8b8b8):ytic(6) with boxxyerror linecolor rgb variable, \\
  $bars using 2:1:3:4 with xerrorbars linecolor rgb "#444444" pointtype 0
`;
}
