import { carryOutSetup, formatEdits, planSetup } from "../engines/setup.ts";
import type { Command } from "./command.ts";
import { ENGINE_OPERAND, engineOf, SETUP_OPTIONS, setupRequest } from "./setup-common.ts";

export const command: Command = {
  name: "setup",
  summary: "Make veneer known to an engine: podman, docker, containerd or crio",
  operands: [ENGINE_OPERAND],
  options: SETUP_OPTIONS,
  description: `Writes a drop-in file, or merges a key into the engine's own configuration and leaves everything else
in it as it is. What was there before is kept for 'veneer unsetup'. Running it twice changes nothing the second
time. The engine is never restarted: what is to be done is printed.`,
  examples: ["veneer setup docker --dry-run", "veneer setup podman"],
  run(context, input) {
    const engine = engineOf(input);
    const edits = planSetup(engine, setupRequest(input));
    if (input.has("--dry-run")) {
      if (edits.length > 0) context.out(formatEdits(edits).trimEnd());
      return;
    }
    if (edits.length > 0) carryOutSetup(context.settings.store, engine, edits);
    for (const { path } of edits) context.out(path);
    context.note(edits.length === 0 ? `${engine.name} is set up already` : `now: ${engine.restart}`);
    context.note(`then: ${engine.use}`);
  },
};
