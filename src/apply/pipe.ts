/** A program whose output is read as a stream while it runs. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { failed, findProgram, PROGRAM_ENVIRONMENT } from "./program.ts";

export interface Pipe extends Disposable {
  readonly stdout: Readable;
  /** Settles when the program has ended; throws like runProgram. Status 1 is fine when `lenient`. */
  readonly ended: Promise<void>;
  /** Ends it; that is no failure. */
  kill(): void;
}

/** Starts a program that dies with this process, and with the scope that holds it. */
export function startPipe(
  name: string,
  args: readonly string[],
  options: { stdin?: number; lenient?: boolean } = {},
): Pipe {
  const child = spawn(findProgram("setpriv"), ["--pdeathsig", "KILL", "--", findProgram(name), ...args], {
    env: PROGRAM_ENVIRONMENT,
    stdio: [options.stdin ?? "ignore", "pipe", "pipe"],
  }) as ChildProcessByStdio<null, Readable, Readable>;
  let complaint = "";
  let killed = false;
  child.stderr.on("data", (chunk) => {
    if (complaint.length < 4000) complaint += chunk;
  });
  const ended = new Promise<void>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => {
      if (status === 0 || (status === 1 && options.lenient) || (killed && signal)) resolve();
      else reject(failed(name, status ?? undefined, signal ?? undefined, complaint));
    });
  });
  // whoever waits for it sees the error; until then it is not unhandled
  ended.catch(() => {});
  const kill = () => {
    killed = true;
    child.kill("SIGKILL");
    child.stdout.destroy();
  };
  return { stdout: child.stdout, ended, kill, [Symbol.dispose]: kill };
}
