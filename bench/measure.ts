/** Interleaved runs of commands, and their medians. */
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomNumbers } from "../test/helpers/random-edits.ts";
import { compileC, scratch } from "./compile.ts";

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

/** A run that did not end well. */
export class RunFailed extends Error {
  /** what the program wrote to stderr, or why it did not start, on one line */
  readonly said: string;

  constructor(name: string, command: readonly string[], status: number | null, said: string) {
    const line = oneLine(said);
    super(`${name}: ${command.join(" ")}: status ${status}: ${line}`);
    this.said = line === "" ? `status ${status}` : line;
  }
}

/** The first lines say what went wrong, the last what came of it, or where to read more: no line alone will do. */
function oneLine(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  const useful = lines.filter((line) => line !== "" && !/^(See '|Run with|For more|USAGE)/.test(line));
  return useful.join("; ").slice(0, 400);
}

/**
 * Runs all contenders in turn, `runs` times, after `warmup` turns that do not count; each turn in another order, the same
 * in each session: none always comes after the same neighbour, whose end may still keep the kernel busy. Throws when a
 * run fails; with `dropped`, its contender is out from then on, has no result, and stands there with the reason.
 */
export async function interleave(
  contenders: readonly Contender[],
  runs: number,
  warmup = 2,
  dropped?: Map<string, string>,
): Promise<Result[]> {
  const samples = contenders.map(() => [] as number[]);
  const memory = contenders.map(() => 0);
  const random = randomNumbers(1);
  for (let turn = -warmup; turn < runs; turn++) {
    for (const index of inRandomOrder(contenders.length, random)) {
      const contender = contenders[index] as Contender;
      if (dropped?.has(contender.name)) continue;
      try {
        const sample = await runOnce(contender);
        memory[index] = Math.max(memory[index] as number, sample.memory);
        if (turn >= 0) samples[index]?.push(sample.time);
      } catch (error) {
        if (dropped === undefined) throw error;
        dropped.set(contender.name, reasonOf(error));
      }
    }
  }
  return contenders.flatMap(({ name }, index) =>
    dropped?.has(name) ? [] : [summarize(name, samples[index] as number[], memory[index])],
  );
}

/** The numbers below `length`. */
function inRandomOrder(length: number, random: (below: number) => number): number[] {
  const left = Array.from({ length }, (_, index) => index);
  return Array.from({ length }, () => left.splice(random(left.length), 1)[0] as number);
}

/** One line of why a run failed. */
export function reasonOf(error: unknown): string {
  if (error instanceof RunFailed) return error.said;
  return oneLine(error instanceof Error ? error.message : String(error));
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
  // a file: Bun's pipes are sockets, which LXC does not write to, and what outlives the run would keep one open
  const said = join(scratch(), "stderr");
  const errors = openSync(said, "w");
  try {
    const command = typeof contender.command === "function" ? contender.command() : contender.command;
    const run = spawnSync(timer(), [contender.stdin ?? "/dev/null", ...command], {
      stdio: ["ignore", "pipe", errors],
      encoding: "utf8",
      timeout: 120_000,
      ...(contender.env && { env: { ...contender.env } }),
      ...(contender.cwd !== undefined && { cwd: contender.cwd }),
    });
    if (run.status !== 0) {
      throw new RunFailed(
        contender.name,
        command,
        run.status,
        run.error?.message ?? readFileSync(said, "utf8"),
      );
    }
    const [nanoseconds, memory] = run.stdout.split(" ").map(Number);
    return { time: (nanoseconds ?? 0) / 1e6, memory: memory ?? 0 };
  } finally {
    closeSync(errors);
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
