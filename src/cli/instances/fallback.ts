import { fallback } from "../../rebase/generations.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { noteGeneration, parseGeneration } from "./generation.ts";
import { processOfOperand } from "./joined-namespace.ts";
import { noteLive } from "./live.ts";
import { PAUSE_OPTION, pauseLimitOf } from "./pause-option.ts";

export const command: Command = {
  name: "fallback",
  changes: true,
  joins: processOfOperand,
  summary: "Take an instance back to its previous generation",
  description: `
The previous generation comes back with all its changes; again leads further back. The one that is left is kept
too: --to leads to it, and to any other that 'veneer inspect' lists; 'veneer rm --generation' removes one. An
instance that is mounted by hand stays mounted where it is. A container that runs on it goes on running, as in
'veneer rebase'; what its processes still write to files that they have open stays in the generation that is left.`,
  operands: [{ name: "ID", complete: "instance" }],
  options: [
    { name: "--to", value: "N", help: "to this generation, older or newer" },
    { name: "--force", help: "go on in spite of open files that stand in the way" },
    PAUSE_OPTION,
  ],
  run(context, input) {
    const id = checkName("instance", input.operands[0] ?? "");
    const wanted = parseGeneration(input.value("--to"));
    const { instance, live } = fallback(context.settings, id, wanted, {
      force: input.has("--force"),
      pauseLimit: pauseLimitOf(input),
    });
    if (live) noteLive(context, id, live);
    noteGeneration(context, id, instance);
  },
};
