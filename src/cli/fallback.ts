import { fallback } from "../apply/generations.ts";
import { checkName } from "../names.ts";
import type { Command } from "./command.ts";
import { noteGeneration, parseGeneration } from "./generation.ts";

export const command: Command = {
  name: "fallback",
  summary: "Take an instance back to its previous generation",
  description: `
The previous generation comes back with all its changes; again leads further back. The one that is left is kept
too: --to leads to it, and to any other that 'veneer inspect' lists; 'veneer rm --generation' removes one. An
instance that is mounted by hand stays mounted where it is. Refused while a container runs on it.`,
  operands: [{ name: "ID", complete: "instance" }],
  options: [{ name: "--to", value: "N", help: "to this generation, older or newer" }],
  run(context, input) {
    const id = checkName("instance", input.operands[0] ?? "");
    noteGeneration(context, id, fallback(context.settings, id, parseGeneration(input.value("--to"))));
  },
};
