import { formatError } from "../../errors.ts";
import { mergeInstance } from "../../instances/frozen-uppers-merge.ts";
import { umountInstance } from "../../instances/mount.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { refuseTransientMount } from "../framework/transient-mount.ts";

export const command: Command = {
  name: "umount",
  summary: "Unmount an instance that was mounted by hand",
  description: `
Refused while a process uses it. What was written stays in the instance; one that 'veneer mount --fresh' made is removed.
With DIR only where it is mounted there.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "DIR", optional: true, complete: "directory" },
  ],
  options: [],
  run(context, input) {
    refuseTransientMount("umount", context.env);
    const { store } = context.settings;
    const id = checkName("instance", input.operands[0] ?? "");
    if (umountInstance(store, id, input.operands[1]) === "removed") return;
    try {
      mergeInstance(store, id);
    } catch (error) {
      context.note(`veneer: ${formatError(error)}`);
    }
  },
};
