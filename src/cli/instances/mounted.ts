import { requireInstance } from "../../store/instances.ts";
import { isLive } from "../../store/mounts/liveness.ts";
import { findHolder } from "../../store/records.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "mounted",
  summary: "Report by exit status whether an instance is mounted by hand: 0 yes, 1 no",
  operands: [{ name: "ID", complete: "instance" }],
  options: [],
  description:
    "Prints the mount point if it is mounted. For an instance that does not exist the status is 1 too, with an error on stderr.",
  examples: ["veneer mounted web1 || veneer mount web1"],
  run(context, input) {
    const { store } = context.settings;
    const id = checkName("instance", input.operands[0] ?? "");
    requireInstance(store, id);
    const holder = findHolder(store, id);
    if (holder?.engine !== "mount" || !isLive(holder)) return 1;
    context.out(holder.target ?? "");
    return 0;
  },
};
