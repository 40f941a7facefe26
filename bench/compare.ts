/**
 * Compares commands by interleaved runs:
 *   bun bench/compare.ts [-n RUNS] [-w WARMUP] [-i STDIN] [--before COMMAND] [--json] [NAME=]COMMAND…
 * A COMMAND is split at spaces, with shell quotes; no shell runs it. `--before` runs, in a shell, before each.
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { type Contender, interleave } from "./measure.ts";
import { formatResults } from "./table.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: "string", short: "n", default: "30" },
    warmup: { type: "string", short: "w", default: "3" },
    stdin: { type: "string", short: "i" },
    before: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
if (positionals.length === 0) {
  process.stderr.write(
    "usage: compare.ts [-n RUNS] [-w WARMUP] [-i STDIN] [--before COMMAND] [--json] [NAME=]COMMAND…\n",
  );
  process.exit(2);
}

const { before } = values;
const contenders = positionals.map((text): Contender => {
  const named = /^([A-Za-z0-9_.-]+)=(.+)$/s.exec(text);
  const command = words(named?.[2] ?? text);
  return {
    name: named?.[1] ?? text,
    command,
    ...(values.stdin !== undefined && { stdin: values.stdin }),
    ...(before !== undefined && {
      before: () => void execFileSync("sh", ["-c", before], { stdio: "ignore" }),
    }),
  };
});
const results = await interleave(contenders, Number(values.runs), Number(values.warmup));
process.stdout.write(`${values.json ? JSON.stringify(results, null, 2) : formatResults(results)}\n`);

function words(text: string): string[] {
  const found = text.match(/(?:[^\s"']+|"[^"]*"|'[^']*')+/g) ?? [];
  return found.map((word) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}
