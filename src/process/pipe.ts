/** A program whose output is read as a stream while it runs. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { VeneerError } from "../errors.ts";
import { withDeathSignal } from "./death-signal.ts";
import { requireProgram } from "./find-program.ts";
import { interruption, onInterrupt } from "./interrupt.ts";
import { failed, PROGRAM_ENVIRONMENT, ProgramError } from "./run-program.ts";

export interface Pipe extends Disposable {
  readonly stdout: Readable;
  /** only with `stdin: "pipe"` */
  readonly stdin: Writable | null;
  /** Settles when the program has ended; throws like runProgram. */
  readonly ended: Promise<void>;
  /** Ends it; that is no failure. */
  kill(): void;
}

export interface PipeOptions {
  readonly stdin?: number | "pipe";
  /** statuses that are no failure; default: 0 */
  readonly accept?: readonly number[];
}

/**
 * Starts a program that dies with this process, with the scope that holds it, and by SIGINT, SIGTERM and
 * SIGHUP, which then make `ended` throw.
 */
export function startPipe(name: string, args: readonly string[], options: PipeOptions = {}): Pipe {
  const [file, words] = withDeathSignal("KILL", [requireProgram(name), ...args]);
  const child = spawn(file, words, {
    env: PROGRAM_ENVIRONMENT,
    stdio: [options.stdin ?? "ignore", "pipe", "pipe"],
  }) as ChildProcessByStdio<Writable | null, Readable, Readable>;
  let killed = false;
  const kill = () => {
    killed = true;
    child.kill("SIGKILL");
    child.stdout.destroy();
  };
  const interrupt = onInterrupt();
  interrupt.signal.addEventListener("abort", () => child.kill("SIGKILL"));
  let complaint = "";
  child.stderr.on("data", (chunk) => {
    if (complaint.length < 4000) complaint += chunk;
  });
  // it says itself why it stopped reading
  child.stdin?.on("error", () => {});
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      interrupt[Symbol.dispose]();
      if (interrupt.signal.aborted) reject(interruption(interrupt.signal));
      else if ((options.accept ?? [0]).includes(status ?? -1) || (killed && signal)) resolve();
      else reject(failed(name, status ?? undefined, signal ?? undefined, complaint));
    });
  });
  // whoever waits for it sees the error; until then it is not unhandled
  ended.catch(() => {});
  return { stdout: child.stdout, stdin: child.stdin, ended, kill, [Symbol.dispose]: kill };
}

/**
 * Waits for programs and for the streams between them. After a failure it ends them all and throws what
 * brought it about: a broken pipe is only what the others see of that.
 */
export async function together(pipes: readonly Pipe[], streams: readonly Promise<void>[]): Promise<void> {
  try {
    await Promise.all([...streams, ...pipes.map(({ ended }) => ended)]);
  } catch (error) {
    for (const pipe of pipes) pipe.kill();
    const settled = await Promise.allSettled([...pipes.map(({ ended }) => ended), ...streams]);
    const reasons = settled.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    throw reasons.find(isInterruption) ?? reasons.find((reason) => !isBrokenPipe(reason)) ?? error;
  }
}

function isInterruption(error: unknown): boolean {
  return error instanceof VeneerError && error.code === "INTERRUPTED";
}

function isBrokenPipe(error: unknown): boolean {
  if (error instanceof ProgramError) return error.signal === "SIGPIPE";
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return ["EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ABORT_ERR"].includes(code ?? "");
}
