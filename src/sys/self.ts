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
 * Sets the umask(2) to 022, so that the caller's umask does not affect the modes of files in bases and containers. What
 * engines call keeps the engine's umask.
 */
export function useUmask(): void {
  syscall(SYS.umask, 0o022);
}

const F_GETFL = 3;
const F_SETFL = 4;

/**
 * Saves the flags of the standard descriptors (fcntl(2), F_GETFL), which other processes share. The returned function
 * restores them: the next program of a script may not cope with non-blocking output.
 */
export function keepStandardFlags(): () => void {
  const before = [0, 1, 2].map((fd) => syscall(SYS.fcntl, fd, F_GETFL, 0));
  return () => {
    for (const [fd, flags] of before.entries()) {
      if (flags >= 0 && syscall(SYS.fcntl, fd, F_GETFL, 0) !== flags) syscall(SYS.fcntl, fd, F_SETFL, flags);
    }
  };
}

/** getcwd(2). Throws ENOENT when the directory was deleted or lies outside of the root. */
export function workingDirectory(): string {
  const buffer = new Uint8Array(4097);
  const length = check(syscall(SYS.getcwd, buffer, buffer.length), "getcwd");
  const path = decodeName(buffer.subarray(0, length - 1));
  if (!path.startsWith("/")) check(-(errno.ENOENT as number), "getcwd");
  return path;
}

/** The name of the large program, which lies beside `veneer` or in libexec/veneer of its prefix. */
export const LARGE_PROGRAM = "veneer-cli";

/** The path of this process's executable. The file there may have been replaced since. */
export function ownExecutable(): string {
  return (readlink("/proc/self/exe") ?? "").replace(/ \(deleted\)$/, "");
}

let program: string | undefined;

/** The path of the program `veneer`, as others call it: this process's own, or the small program that started it. */
export function programPath(): string {
  program ??= smallProgram(ownExecutable());
  return program;
}

/** The `veneer` that belongs to an executable of ours. */
function smallProgram(executable: string): string {
  const slash = executable.lastIndexOf("/");
  if (executable.slice(slash + 1) !== LARGE_PROGRAM) return executable;
  const directory = executable.slice(0, slash);
  const suffix = "/libexec/veneer";
  return directory.endsWith(suffix)
    ? `${directory.slice(0, -suffix.length)}/bin/veneer`
    : `${directory}/veneer`;
}

const NANOSECONDS = 1_000_000;

/** A struct timespec (timespec(3type)): seconds, nanoseconds. */
export function timespec(milliseconds: number): BigInt64Array {
  const nanoseconds = BigInt(Math.round(milliseconds * NANOSECONDS));
  return new BigInt64Array([nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n]);
}

/** Sleeps for that time (nanosleep(2)). A signal with a handler ends it early. */
export function sleep(milliseconds: number): void {
  syscall(SYS.nanosleep, timespec(milliseconds), null);
}

/** Writes a line for people to standard error, with control characters escaped. Ignores errors. */
export function warn(line: string): void {
  try {
    writeAll(2, new TextEncoder().encode(`${escapeControls(line)}\n`), "standard error");
  } catch {
    // nobody reads it
  }
}
