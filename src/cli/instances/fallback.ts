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
  summary: "Return an instance to its previous generation",
  description: `
The previous generation returns with all its changes; another fallback goes further back. The generation that it leaves is kept
too: --to returns to it, or to any other that 'veneer inspect' lists; 'veneer rm --generation' removes one. An
instance that is mounted by hand stays mounted where it is. A running container keeps running, as in
'veneer rebase'; what its processes write to files that they have open stays in the generation that it leaves.`,
  operands: [{ name: "ID", complete: "instance" }],
  options: [
    { name: "--to", value: "N", help: "to this generation, older or newer" },
    { name: "--force", help: "go on in spite of open files that block it" },
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
