import { cloneInstance } from "../../instances/clone.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";

export const command: Command = {
  name: "clone",
  changes: true,
  summary: "Make an instance with the changes of another",
  description: `
Copies the upper of the generation in use, by reflink if the file system supports it; the clone and the original
are independent afterwards. Refused while anything holds the original: stop it first. Prints NEW.`,
  operands: [{ name: "ID", complete: "instance" }, { name: "NEW" }],
  options: [],
  async run(context, input) {
    const [id = "", name = ""] = input.operands.map((operand) => checkName("instance", operand));
    using progress = drawProgress(context);
    await cloneInstance(context.settings.store, id, name, progress);
    context.out(name);
  },
};
