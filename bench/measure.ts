/** Interleaved runs of commands, and their medians. */
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileC } from "./compile.ts";

export interface Contender {
  readonly name: string;
  /** program and arguments, or a function that gives them for each run */
  readonly command: readonly string[] | (() => readonly string[]);
  /** a file for stdin; /dev/null when absent */
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Runs before each run, outside of the measured time. */
  before?(): void | Promise<void>;
  /** Runs after each run, outside of the measured time. */
  after?(): void | Promise<void>;
}

export interface Result {
  readonly name: string;
  /** milliseconds of wall time, in the order of the runs */
  readonly samples: readonly number[];
  readonly median: number;
  readonly min: number;
  /** nine runs of ten took no longer */
  readonly p90: number;
  /** kilobytes of memory at most, in any run; 0 where it was not measured */
  readonly memory: number;
}

/**
 * Runs all contenders in turn, `runs` times, after `warmup` turns that do not count; each turn begins with
 * another contender, so that none always comes after the same neighbour. Throws when a run fails.
 */
export async function interleave(
  contenders: readonly Contender[],
  runs: number,
  warmup = 2,
): Promise<Result[]> {
  const samples = contenders.map(() => [] as number[]);
  const memory = contenders.map(() => 0);
  for (let turn = -warmup; turn < runs; turn++) {
    for (let place = 0; place < contenders.length; place++) {
      const index = (place + turn + warmup) % contenders.length;
      const sample = await runOnce(contenders[index] as Contender);
      memory[index] = Math.max(memory[index] as number, sample.memory);
      if (turn >= 0) samples[index]?.push(sample.time);
    }
  }
  return contenders.map(({ name }, index) => summarize(name, samples[index] as number[], memory[index]));
}

interface Sample {
  readonly time: number;
  readonly memory: number;
}

export function summarize(name: string, samples: readonly number[], memory = 0): Result {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const middle = sorted.length / 2;
  const median = Number.isInteger(middle) ? ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2 : at(0.5);
  return { name, samples, median, min: sorted[0] ?? 0, p90: at(0.9), memory };
}

/** Wall time of one run in milliseconds, and its memory. Throws when it fails. */
export async function runOnce(contender: Contender): Promise<Sample> {
  await contender.before?.();
  try {
    const command = typeof contender.command === "function" ? contender.command() : contender.command;
    const run = spawnSync(timer(), [contender.stdin ?? "/dev/null", ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      encoding: "utf8",
      timeout: 120_000,
      ...(contender.env && { env: { ...contender.env } }),
      ...(contender.cwd !== undefined && { cwd: contender.cwd }),
    });
    if (run.status !== 0) {
      const why = run.error?.message ?? run.stderr.trim();
      throw new Error(`${contender.name}: ${command.join(" ")}: status ${run.status}: ${why}`);
    }
    const [nanoseconds, memory] = run.stdout.split(" ").map(Number);
    return { time: (nanoseconds ?? 0) / 1e6, memory: memory ?? 0 };
  } finally {
    await contender.after?.();
  }
}

let timerPath: string | undefined;

/** The measuring program, compiled at its first use. */
function timer(): string {
  timerPath ??= compileC("timer.c");
  return timerPath;
}

/** A file with this text below `directory`, for {@link Contender.stdin}. */
export function inputFile(directory: string, name: string, text: string): string {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}
