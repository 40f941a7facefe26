import { commitInstance } from "../../instances/clone.ts";
import { checkName, formatBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";

export const command: Command = {
  name: "commit",
  publishes: true,
  summary: "Make a version of a base from an instance's changes",
  description: `
With the name of the instance's own base, its changes become the next version of that base, provided that the
instance is on the current one. With another name they become a new base, stacked on the instance's version.
What the instance masked or removed is missing there; a directory that it started empty holds what the instance
has in it. The instance stays as it is. Refused while anything holds it. Prints NAME@VERSION.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "NAME", complete: "base" },
  ],
  options: [],
  examples: [
    "veneer commit build1 debian-with-tools",
    "veneer rebase web1 debian && veneer commit web1 debian",
  ],
  async run(context, input) {
    const [id = "", name = ""] = input.operands;
    using progress = drawProgress(context);
    const { store } = context.settings;
    const made = await commitInstance(store, checkName("instance", id), checkName("base", name), progress);
    context.out(formatBaseRef(made));
  },
};
