import { umountInstance } from "../apply/mount.ts";
import { checkName } from "../names.ts";
import type { Command } from "./command.ts";
import { refuseFleeting } from "./fleeting.ts";

export const command: Command = {
  name: "umount",
  summary: "Unmount an instance that was mounted by hand",
  description: "Refused while a process uses it. What was written stays in the instance.",
  operands: [{ name: "ID", complete: "instance" }],
  options: [],
  run(context, input) {
    refuseFleeting("umount", context.env);
    umountInstance(context.settings.store, checkName("instance", input.operands[0] ?? ""));
  },
};
