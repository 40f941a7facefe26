import { foldInstance } from "../../instances/fold-parts.ts";
import { mergeWhenFree } from "../../instances/frozen-uppers-merge.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "internal merge",
  summary: "Merge the parts of an instance's upper when its container has ended",
  operands: [{ name: "ID" }],
  options: [{ name: "--lower", help: "only those below the highest, which may be in use" }],
  run(context, input) {
    const { store } = context.settings;
    const id = checkName("instance", input.operands[0] ?? "");
    if (input.has("--lower")) foldInstance(store, id);
    else context.out(mergeWhenFree(store, id));
  },
};
