import { cloneInstance, holdUnused } from "../../instances/clone.ts";
import { holdRunning } from "../../snapshot/running-source.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { processOfOperand } from "./joined-namespace.ts";
import { LIVE_OPTIONS, liveLimit, noteCopied } from "./live-copy.ts";

export const command: Command = {
  name: "clone",
  changes: true,
  joins: (context, input) => (input.has("--live") ? processOfOperand(context, input) : undefined),
  summary: "Make an instance with the changes of another",
  description: `
Copies the upper of the generation in use, by reflink if the file system supports it; the clone and the original
are independent afterwards. Refused while anything holds the original, unless --live is given: then what runs is paused
for a moment, and the clone has its changes of that moment. With --live, ID may also be a container that has no named
instance. Prints NEW.`,
  operands: [{ name: "ID", complete: "instance" }, { name: "NEW" }],
  options: [...LIVE_OPTIONS],
  examples: ["veneer clone web1 web2", "veneer clone --live web1 web1-before-the-upgrade"],
  async run(context, input) {
    const [id = "", name = ""] = input.operands.map((operand) => checkName("instance", operand));
    using progress = drawProgress(context);
    const { settings } = context;
    const limit = liveLimit(input);
    using source = limit === undefined ? holdUnused(settings.store, id) : holdRunning(settings, id, limit);
    await cloneInstance(settings.store, source, name, progress);
    progress[Symbol.dispose]();
    noteCopied(context, source);
    context.out(name);
  },
};
