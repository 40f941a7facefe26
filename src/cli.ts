/** The large program: everything but what engines call. It is started by the small one, with the same arguments. */

import * as cli from "./cli/index.ts";
import { exitStatus, formatError } from "./errors.ts";
import { Arguments, readGlobalOption } from "./request/arguments.ts";
import type { GlobalOptions } from "./request/config.ts";
import { openat, readAll } from "./sys/fd.ts";
import { AT_FDCWD, O_RDONLY } from "./sys/flags.ts";
import { useUmask, warn } from "./sys/self.ts";
import { decodeName } from "./text/file-names.ts";

/** As the kernel has them: the run time's own copy has lost what is not UTF-8. */
function argumentsOfProcess(): string[] {
  using file = openat(AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
  const words = decodeName(readAll(file.number, 64 * 1024 * 1024, "/proc/self/cmdline")).split("\0");
  return words.slice(1, -1);
}

useUmask();

try {
  const args = new Arguments(argumentsOfProcess());
  const options: GlobalOptions = {};
  let word = args.next();
  while (word !== undefined && readGlobalOption(word, args, options)) word = args.next();
  await cli.run(options, word, args.rest());
} catch (error) {
  warn(`veneer: ${formatError(error)}`);
  process.exitCode = exitStatus(error);
}
