import { commitSession, detachSession } from "../../bases/edit-session.ts";
import { duringAsync } from "../../errors.ts";
import { readBaseFile } from "../../store/versions.ts";
import { checkName, formatBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { takeSession } from "./session.ts";

export const command: Command = {
  name: "base commit",
  publishes: true,
  summary: "Publish the editing session of a base as its next version",
  operands: [{ name: "NAME", complete: "base" }],
  options: [
    { name: "--message", short: "-m", value: "TEXT", help: "what 'base log' shows as the version's origin" },
  ],
  description: `Unmounts the session that 'veneer base edit NAME' opened and publishes its changes in one step, as the current
version. Refused while something works in it. A commit that was interrupted is finished by another one. Prints
NAME@VERSION.`,
  examples: ["veneer base commit debian -m 'nginx 1.22'"],
  async run(context, input) {
    const name = checkName("base", input.operands[0] ?? "");
    const { store } = context.settings;
    await duringAsync(`commit ${name}`, async () => {
      const { session, lock } = takeSession(store, name);
      using _lock = lock;
      detachSession(store, name);
      const before = readBaseFile(store, name)?.current;
      using progress = drawProgress(context);
      const origin = input.value("--message") ?? "edit";
      const version = await commitSession(store, name, session, origin, progress);
      progress[Symbol.dispose]();
      if (before !== session.version && before !== version.version) {
        context.note(
          `veneer: the session stood on version ${session.version}: what version ${before} changed is not in ${formatBaseRef(version)}`,
        );
      }
      context.out(formatBaseRef(version));
    });
  },
};
