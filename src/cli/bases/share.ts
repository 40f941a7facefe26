import { shareBase } from "../../bases/share.ts";
import { mapOfUser, uidOf } from "../../bases/user-ids.ts";
import { UsageError, withContextAsync } from "../../errors.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";

export const command: Command = {
  name: "base share",
  changes: true,
  summary: "Let users without root start containers on a base",
  operands: [
    { name: "NAME", complete: "base" },
    { name: "USER", optional: true, repeated: true },
  ],
  options: [],
  description: `
With each USER the base's files have their owners in containers of that user: its layers are mounted once more, idmapped
to the ids that /etc/subuid and /etc/subgid give to the user, read-only, nosuid and nodev, where no other user can reach
them. The user can read every file of the base.

Without a USER the base is shared with all: every user of the host can read what is readable for others in it, and in
containers its files are nobody's, so that little can be changed in them.

The current version is shared, and every later one when it becomes current; what is shared is not removed. 'veneer
base ls' of the user lists the base, and the user's own bases win over shared ones of the same name. 'veneer mount
--all' brings the shares back after a reboot.`,
  examples: ["veneer base share debian alice bob", "veneer base share tools"],
  async run(context, input) {
    const [nameText = "", ...users] = input.operands;
    const name = checkName("base", nameText);
    if (context.user !== undefined) throw new UsageError("bases are shared by root", "run as root");
    const audiences = users.length > 0 ? users.map(uidOf) : (["all"] as const);
    using progress = drawProgress(context);
    await withContextAsync(`share ${name}`, () =>
      shareBase(context.settings.store, name, audiences, mapOfUser, progress),
    );
  },
};
