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
    { name: "USER", optional: true, repeated: true, complete: "user" },
  ],
  options: [],
  description: `
With a USER, the base's files have their real owners in containers of that user: its layers are mounted once more, idmapped
to the user's ids in /etc/subuid and /etc/subgid, read-only, nosuid and nodev, where no other user can reach
them. The user can read every file of the base.

Without a USER, the base is shared with everybody: every user of the host can read what its modes let others read, and in
containers its files belong to nobody, so that containers can change little of it.

The current version is shared, and every later one when it becomes current; shared versions are not removed. The user's 'veneer
base ls' lists the base; the user's own bases win over shared ones of the same name. 'veneer mount
--all' restores the shares after a reboot.`,
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
