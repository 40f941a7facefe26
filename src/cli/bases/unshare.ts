import { unshareBase } from "../../bases/share.ts";
import { uidOf } from "../../bases/user-ids.ts";
import { UsageError, withContextAsync } from "../../errors.ts";
import { parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "base unshare",
  changes: true,
  summary: "End the sharing of a base, for all or for some users",
  operands: [
    { name: "NAME[@V]", complete: "base" },
    { name: "USER", optional: true, repeated: true, complete: "user" },
  ],
  options: [{ name: "--force", help: "even while containers of users run on it" }],
  description: `
Without a USER, the share ends for everybody; with @V, only for that version. Refused while a
container of a user uses it (the kernel shows this from Linux 6.13 on). With --force such containers
keep running until 'veneer base rm' removes layers below them.`,
  examples: ["veneer base unshare debian", "veneer base unshare debian bob", "veneer base unshare debian@1"],
  async run(context, input) {
    const [text = "", ...users] = input.operands;
    const { name, version } = parseBaseRef(text);
    if (context.user !== undefined) throw new UsageError("bases are shared by root", "run as root");
    if (version !== undefined && users.length > 0) {
      throw new UsageError("a single version cannot be unshared for some users", "name users or a version");
    }
    const audiences = users.length > 0 ? { audiences: users.map(uidOf) } : {};
    await withContextAsync(`unshare ${text}`, () =>
      unshareBase(context.settings.store, name, { version, ...audiences, force: input.has("--force") }),
    );
  },
};
