/** Everything but what engines call is in a large program of its own, which this one executes in its place. */

import { VeneerError } from "../errors.ts";
import { errnoName } from "../sys/errno.ts";
import { execve } from "../sys/process/fork.ts";
import { LARGE_PROGRAM, ownExecutable } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { decodeName } from "../text/file-names.ts";

/**
 * What stays behind: options of the large program's run time, which no build flag turns off, of its allocator, and of the
 * dynamic linker and the C library that it is linked with.
 */
const LEFT_BEHIND =
  /^(?:BUN_|NODE_|JSC_|WEBKIT_|WTF_|MIMALLOC_|MI_|MALLOC_|UV_|LD_|GLIBC_TUNABLES=|GCONV_PATH=|LOCPATH=|NLSPATH=|DO_NOT_TRACK=)/;

/** Only comes back by an exception. Arguments go on as the bytes that they are. */
export function startLargeProgram(): never {
  const path = largeProgram(ownExecutable());
  const env = host.environment().filter((variable) => !LEFT_BEHIND.test(decodeName(variable)));
  const result = execve(path, host.arguments(), env);
  throw new VeneerError("NO_PROGRAM", `cannot start ${path}: ${errnoName(-result)}`, {
    hint: "it is a part of the installation: install veneer again",
  });
}

/** Beside a program that was built or unpacked; in libexec of the prefix where it was installed. */
function largeProgram(executable: string): string {
  const directory = executable.slice(0, executable.lastIndexOf("/"));
  const beside = `${directory}/${LARGE_PROGRAM}`;
  if (!directory.endsWith("/bin") || lstatMaybe(beside)) return beside;
  return `${directory.slice(0, -"/bin".length)}/libexec/veneer/${LARGE_PROGRAM}`;
}
