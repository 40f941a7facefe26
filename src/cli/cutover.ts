import { cutover } from "../apply/generations.ts";
import { checkName, parseBaseRef } from "../names.ts";
import type { Command } from "./command.ts";
import { noteGeneration } from "./generation.ts";

export const command: Command = {
  name: "cutover",
  summary: "Give an instance a fresh upper on another version",
  description: `
The generation before, which is the upper with all its changes and the version below it, is kept: 'veneer
fallback' leads back to it. An instance that is mounted by hand stays mounted where it is. Refused while a
container runs on it.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "BASE[@V]", complete: "base" },
  ],
  options: [],
  run(context, input) {
    const [id = "", base = ""] = input.operands;
    noteGeneration(context, id, cutover(context.settings, checkName("instance", id), parseBaseRef(base)));
  },
};
