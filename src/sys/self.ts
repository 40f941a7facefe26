/** This process and its program. */

import { escapeControls } from "../errors.ts";
import { decodeName } from "../text/file-names.ts";
import { errno } from "./errno.ts";
import { readlink, writeAll } from "./fd.ts";
import { check, syscall } from "./libc.ts";
import { SYS } from "./numbers.ts";

export function getpid(): number {
  return syscall(SYS.getpid);
}

export function getppid(): number {
  return syscall(SYS.getppid);
}

/**
 * umask(2): what the caller's takes away from others' files is not what they have in bases and containers. What engines
 * call keeps the caller's.
 */
export function useUmask(): void {
  syscall(SYS.umask, 0o022);
}

const F_GETFL = 3;
const F_SETFL = 4;

/**
 * Flags of standard input, output and error (fcntl(2), F_GETFL), which other processes share. The result puts back what this
 * process changed: the next program of a script may not understand output that does not block.
 */
export function keepStandardFlags(): () => void {
  const before = [0, 1, 2].map((fd) => syscall(SYS.fcntl, fd, F_GETFL, 0));
  return () => {
    for (const [fd, flags] of before.entries()) {
      if (flags >= 0 && syscall(SYS.fcntl, fd, F_GETFL, 0) !== flags) syscall(SYS.fcntl, fd, F_SETFL, flags);
    }
  };
}

/** getcwd(2). Throws ENOENT where it was deleted or lies outside of the root. */
export function workingDirectory(): string {
  const buffer = new Uint8Array(4097);
  const length = check(syscall(SYS.getcwd, buffer, buffer.length), "getcwd");
  const path = decodeName(buffer.subarray(0, length - 1));
  if (!path.startsWith("/")) check(-(errno.ENOENT as number), "getcwd");
  return path;
}

/** Name of the program that people call for all else, beside `veneer` or in its prefix's libexec/veneer. */
export const LARGE_PROGRAM = "veneer-cli";

/** The executable of this process, whose file may have been replaced meanwhile. */
export function ownExecutable(): string {
  return (readlink("/proc/self/exe") ?? "").replace(/ \(deleted\)$/, "");
}

let program: string | undefined;

/** Path of the program `veneer`, as others call it: this process's own, or that which started it. */
export function programPath(): string {
  program ??= smallProgram(ownExecutable());
  return program;
}

/** Of an executable of ours, the one that is named `veneer`. */
function smallProgram(executable: string): string {
  const slash = executable.lastIndexOf("/");
  if (executable.slice(slash + 1) !== LARGE_PROGRAM) return executable;
  const directory = executable.slice(0, slash);
  const suffix = "/libexec/veneer";
  return directory.endsWith(suffix)
    ? `${directory.slice(0, -suffix.length)}/bin/veneer`
    : `${directory}/veneer`;
}

const SLEEP_UNIT = 1_000_000;

/** Waits; a signal that is handled ends it early. */
export function sleep(milliseconds: number): void {
  const nanoseconds = BigInt(Math.round(milliseconds * SLEEP_UNIT));
  const time = new BigInt64Array([nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n]);
  syscall(SYS.nanosleep, time, null);
}

/** A line for people on standard error; one that cannot be written is lost. */
export function warn(line: string): void {
  try {
    writeAll(2, new TextEncoder().encode(`${escapeControls(line)}\n`), "standard error");
  } catch {
    // nobody listens
  }
}
