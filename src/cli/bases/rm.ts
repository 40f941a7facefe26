import { withContext } from "../../errors.ts";
import { deleteTrash } from "../../gc/empty-trash.ts";
import { removeBase } from "../../inventory/remove-base.ts";
import { formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";

export const command: Command = {
  name: "base rm",
  changes: true,
  summary: "Remove bases with all their versions, or single versions",
  operands: [{ name: "NAME[@V]", repeated: true, complete: "base" }],
  options: [],
  description: `Refused while an instance, a container, a mount, an editing session or another base uses it; the error names
it. Layers that another version or base shares stay. The current version can only be removed with the whole base:
make another one current with 'veneer base use' first. Directories used in place are never touched.
Of several operands, the first that is refused ends the command; those before it have been removed.`,
  examples: ["veneer base rm debian", "veneer base rm debian@2 debian@3"],
  async run(context, input) {
    const { store } = context.settings;
    const refs = input.operands.map(parseBaseRef);
    const trash: string[] = [];
    try {
      for (const ref of refs)
        trash.push(...withContext(`remove ${formatBaseRef(ref)}`, () => removeBase(store, ref)));
    } finally {
      using progress = drawProgress(context);
      progress.step("deleting");
      await deleteTrash(trash);
    }
  },
};
