import { commitSession } from "../../bases/commit-session.ts";
import { detachSession, discardFromSession } from "../../bases/edit-session.ts";
import { withContextAsync } from "../../errors.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { ALWAYS, CANDIDATE, DISCARD, readDiscarded, tellPublished } from "../framework/published.ts";
import { JSON_OPTION } from "../framework/table.ts";
import { takeSession } from "./session.ts";

export const command: Command = {
  name: "base commit",
  changes: true,
  publishes: true,
  summary: "Publish the editing session of a base as its next version",
  operands: [{ name: "NAME", complete: "base" }],
  options: [
    { name: "--message", short: "-m", value: "TEXT", help: "what 'base log' shows as the version's origin" },
    DISCARD,
    ALWAYS,
    CANDIDATE,
    {
      name: "--force",
      help: "publish although the base got another version meanwhile, whose changes this undoes",
    },
    JSON_OPTION,
  ],
  description: `Unmounts the session that 'veneer base edit NAME' opened and publishes its changes in one step, as the current
version. If they change nothing but times, no version is published. Refused while a process works in the session, and,
without --force, when the base got another version since the session was opened. An interrupted commit is finished by the next one.
Prints NAME@VERSION.`,
  examples: ["veneer base commit debian -m 'nginx 1.22'"],
  async run(context, input) {
    const name = checkName("base", input.operands[0] ?? "");
    const { store } = context.settings;
    await withContextAsync(`commit ${name}`, async () => {
      const { session, lock } = takeSession(store, name);
      using _lock = lock;
      const discarded = readDiscarded(input);
      detachSession(store, name);
      discardFromSession(store, name, discarded);
      using progress = drawProgress(context);
      const origin = input.value("--message") ?? "edit";
      const options = {
        always: input.has("--always"),
        force: input.has("--force"),
        candidate: input.has("--candidate"),
        shareFiles: context.settings.config.shareFiles,
      };
      const version = await commitSession(store, name, session, origin, progress, options);
      progress[Symbol.dispose]();
      tellPublished(context, input, version);
    });
  },
};
