/** A daemon of a test's own: started in the foreground, stopped by its pid. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Daemon {
  readonly pid: number;
  /** what it wrote */
  log(): string;
  /** Ends it and waits until it is gone. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a program whose output goes to `log`, and waits until `ready` holds. Throws with the log's end. */
export async function startDaemon(
  command: readonly string[],
  log: string,
  ready: () => Promise<boolean>,
  env: Record<string, string> = {},
): Promise<Daemon> {
  const output = openSync(log, "a");
  const [file = "", ...args] = command;
  const child = spawn(file, args, { stdio: ["ignore", output, output], env: { ...process.env, ...env } });
  closeSync(output);
  const daemon: Daemon = {
    pid: child.pid ?? 0,
    log: () => readFileSync(log, "utf8"),
    stop: () => stop(child),
  };
  for (let left = 300; !(await ready()); left--) {
    if (hasEnded(child) || left === 0) {
      await stop(child);
      throw new Error(`${file} did not become ready: ${daemon.log().slice(-2000)}`);
    }
    await sleep(50);
  }
  return daemon;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
}

async function stop(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
  await ended;
  clearTimeout(timer);
}
