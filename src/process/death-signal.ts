/** Programs that end with this process, however it ends. */
import { requireProgram } from "./find-program.ts";
import { spawnable } from "./spawnable.ts";

/**
 * A command line that runs `words` with the parent-death signal `signal` (PR_SET_PDEATHSIG(2const)), so that a kill of
 * this process ends the program too. `options`: further options of setpriv(1). Throws NO_PROGRAM without setpriv.
 */
export function withDeathSignal(
  signal: "KILL" | "TERM",
  words: readonly string[],
  options: readonly string[] = [],
): [file: string, args: readonly string[]] {
  return [requireProgram("setpriv"), ["--pdeathsig", signal, ...options, "--", ...spawnable(words)]];
}
