/** Executes the large program, which has everything that engines do not call. */

import { VeneerError } from "../errors.ts";
import { ENVIRONMENT_DESCRIPTOR } from "../request/environment.ts";
import { errnoName, isErrno } from "../sys/errno.ts";
import { openat, readSome, writeAll } from "../sys/fd.ts";
import { lseek, makeMemoryFile, SEEK_SET } from "../sys/files/data.ts";
import { AT_FDCWD, O_RDONLY } from "../sys/flags.ts";
import { chdir } from "../sys/namespace.ts";
import { execve } from "../sys/process/fork.ts";
import { LARGE_PROGRAM, ownExecutable, workingDirectory } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { decodeName } from "../text/file-names.ts";

/**
 * The processor features that Bun needs (x86-64-v2, with their names in /proc/cpuinfo): without them it dies of SIGILL,
 * without an error message.
 */
const INSTRUCTIONS = ["ssse3", "sse4_1", "sse4_2", "popcnt"];

function requireProcessor(): void {
  using file = openat(AT_FDCWD, "/proc/cpuinfo", O_RDONLY);
  // reads the lines of the first processor; on other architectures no line begins with "flags"
  const buffer = new Uint8Array(8192);
  const text = decodeName(buffer.subarray(0, readSome(file.number, buffer, "/proc/cpuinfo")));
  const flags = /^flags\s*: (.*)$/m.exec(text)?.[1]?.split(" ");
  const missing = flags ? INSTRUCTIONS.filter((name) => !flags.includes(name)) : [];
  if (missing.length === 0) return;
  throw new VeneerError(
    "PROCESSOR",
    `this command needs an x86-64-v2 processor, and this one has no ${missing.join(", ")}`,
    {
      hint: "hooks, veneer-runc and veneer-crun run without; for a virtual machine choose a newer CPU model",
    },
  );
}

/** Leaves a deleted working directory: Bun does not start there, and relative paths lead nowhere anyway. */
function leaveDeletedDirectory(): void {
  try {
    workingDirectory();
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    chdir("/proc/self/fdinfo");
  }
}

/** Executes the large program with the same arguments, byte for byte. Throws when it cannot. */
export function startLargeProgram(): never {
  requireProcessor();
  leaveDeletedDirectory();
  const path = largeProgram(ownExecutable());
  const variables = handOver(host.environment(""));
  const result = execve(path, host.arguments(), [`${ENVIRONMENT_DESCRIPTOR}=${variables}`]);
  throw new VeneerError("NO_PROGRAM", `cannot start ${path}: ${errnoName(-result)}`, {
    hint: "it is a part of the installation: install veneer again",
  });
}

/** Returns a descriptor from which the next program reads the environment variables, byte for byte. */
function handOver(variables: readonly Uint8Array[]): number {
  const file = makeMemoryFile("environment", true);
  for (const variable of variables) {
    writeAll(file.number, variable, "environment");
    writeAll(file.number, new Uint8Array(1), "environment");
  }
  lseek(file.number, 0, SEEK_SET);
  return file.number;
}

/** The path of the large program: beside `veneer` in a build or archive, in libexec of the prefix when installed. */
function largeProgram(executable: string): string {
  const directory = executable.slice(0, executable.lastIndexOf("/"));
  const beside = `${directory}/${LARGE_PROGRAM}`;
  if (!directory.endsWith("/bin") || lstatMaybe(beside)) return beside;
  return `${directory.slice(0, -"/bin".length)}/libexec/veneer/${LARGE_PROGRAM}`;
}
