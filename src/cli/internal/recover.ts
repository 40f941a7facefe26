import { formatError } from "../../errors.ts";
import { listIntents } from "../../live/journal.ts";
import { recoverAll, recoveredLine } from "../../live/recover.ts";
import type { Command } from "../framework/command.ts";

/** How long a killed process may take to exit and release its locks, in milliseconds. */
const GONE_WITHIN = 1000;

/**
 * Called by the guard of a live rebase (live/watchdog.ts), and by a command that finds a killed rebase when it starts.
 */
export const command: Command = {
  name: "internal recover",
  summary: "Finish or revert live rebases that were killed",
  operands: [],
  options: [],
  run(context) {
    const { store } = context.settings;
    const end = Date.now() + GONE_WITHIN;
    let failures: unknown[];
    do {
      failures = [];
      recoverAll(
        store,
        (moving, result) => context.note(recoveredLine(moving, result)),
        (error) => failures.push(error),
      );
      if (listIntents(store).length === 0) break;
      Bun.sleepSync(20);
    } while (Date.now() < end);
    for (const error of failures) context.note(`veneer: ${formatError(error)}`);
    return failures.length > 0 ? 1 : 0;
  },
};
