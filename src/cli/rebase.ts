import { rebase } from "../apply/generations.ts";
import { checkName, parseBaseRef } from "../names.ts";
import type { Command } from "./command.ts";
import { noteGeneration } from "./generation.ts";

export const command: Command = {
  name: "rebase",
  summary: "Put an instance's changes on another version",
  operands: [
    { name: "ID", complete: "instance" },
    { name: "BASE[@V]", complete: "base" },
  ],
  options: [],
  run(context, input) {
    const [name = "", base = ""] = input.operands;
    const id = checkName("instance", name);
    const instance = rebase(context.settings, id, parseBaseRef(base));
    if (instance) noteGeneration(context, id, instance);
    else context.note(`veneer: instance ${id} is there already`);
  },
};
