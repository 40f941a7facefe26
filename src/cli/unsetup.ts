import { carryOutUnsetup, formatEdits, planUnsetup } from "../engines/setup.ts";
import type { Command } from "./command.ts";
import { ENGINE_OPERAND, engineOf, SETUP_OPTIONS, setupRequest } from "./setup-common.ts";

export const command: Command = {
  name: "unsetup",
  summary: "Take back what setup changed for an engine",
  operands: [ENGINE_OPERAND],
  options: SETUP_OPTIONS,
  description: `A file that is as setup left it becomes byte for byte what it was before. From one that somebody has
changed since, only what setup put in is taken out.`,
  run(context, input) {
    const engine = engineOf(input);
    const { store } = context.settings;
    const edits = planUnsetup(store, engine, setupRequest(input));
    if (input.has("--dry-run")) {
      if (edits.length > 0) context.out(formatEdits(edits).trimEnd());
      return;
    }
    carryOutUnsetup(store, engine, edits);
    for (const { path } of edits) context.out(path);
    context.note(edits.length === 0 ? `${engine.name} is not set up` : `now: ${engine.restart}`);
  },
};
