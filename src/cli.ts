/** The large program: everything but what engines call. It is started by the small one, with the same arguments. */

import * as cli from "./cli/index.ts";
import { exitStatus, formatError, UsageError } from "./errors.ts";
import { Arguments, readGlobalOption } from "./request/arguments.ts";
import type { GlobalOptions } from "./request/config.ts";
import { ENVIRONMENT_DESCRIPTOR, readVariables } from "./request/environment.ts";
import { Fd, openat, readAll } from "./sys/fd.ts";
import { AT_FDCWD, O_RDONLY } from "./sys/flags.ts";
import { keepStandardFlags, useUmask, warn } from "./sys/self.ts";
import { decodeName } from "./text/file-names.ts";

/** As the kernel has them: the run time's own copy has lost what is not UTF-8. */
function argumentsOfProcess(): string[] {
  using file = openat(AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
  const words = decodeName(readAll(file.number, 64 * 1024 * 1024, "/proc/self/cmdline")).split("\0");
  return words.slice(1, -1);
}

/** The caller's, which the small program hands over. */
function environmentOfCaller(): Readonly<Record<string, string>> {
  const number = Number(process.env[ENVIRONMENT_DESCRIPTOR]);
  if (!Number.isInteger(number)) {
    throw new UsageError("veneer-cli is a part of veneer", "call veneer, which starts it");
  }
  using file = new Fd(number);
  const text = decodeName(readAll(file.number, 64 * 1024 * 1024, "the caller's environment"));
  return readVariables(text.split("\0").slice(0, -1));
}

useUmask();
// the run time makes standard output and error non-blocking when it writes to them
process.on("exit", keepStandardFlags());

try {
  const args = new Arguments(argumentsOfProcess());
  const options: GlobalOptions = {};
  let word = args.next();
  while (word !== undefined && readGlobalOption(word, args, options)) word = args.next();
  await cli.run(options, word, args.rest(), environmentOfCaller());
} catch (error) {
  warn(`veneer: ${formatError(error)}`);
  process.exitCode = exitStatus(error);
}
