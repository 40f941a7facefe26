/** A child process in the foreground: the caller's terminal and descriptors, its signals, its status. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { constants } from "node:os";

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const;
/** What a terminal sends to its whole foreground group: the child has had it already. */
const FROM_TERMINAL: ReadonlySet<string> = new Set(["SIGINT", "SIGQUIT", "SIGWINCH"]);

/**
 * Runs a program to its end and returns its exit status, 128+N when signal N ended it. Signals are handed on,
 * save those that the terminal gave to the child itself. Rejects when the program cannot be started.
 */
export function runForeground(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  options: { readonly stdio?: StdioOptions; readonly started?: (child: ChildProcess) => void } = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    // before the child exists, so that no signal finds us without a handler
    const early: NodeJS.Signals[] = [];
    let forward = (signal: NodeJS.Signals): void => void early.push(signal);
    const listener = (signal: NodeJS.Signals) => {
      if (!(FROM_TERMINAL.has(signal) && inTerminalForeground())) forward(signal);
    };
    for (const signal of FORWARDED) process.on(signal, listener);
    const done = () => {
      for (const signal of FORWARDED) process.off(signal, listener);
    };
    const child = spawn(file, args, { stdio: options.stdio ?? "inherit", env });
    options.started?.(child);
    forward = (signal) => void child.kill(signal);
    for (const signal of early) forward(signal);
    child.once("error", (error) => {
      done();
      reject(error);
    });
    child.once("exit", (code, signal) => {
      done();
      resolve(code ?? 128 + constants.signals[signal as NodeJS.Signals]);
    });
  });
}

/** Whether this process is in the foreground group of its terminal (proc_pid_stat(5), pgrp and tpgid). */
function inTerminalForeground(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    const text = readFileSync("/proc/self/stat", "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[2] === fields[5];
  } catch {
    return false;
  }
}
