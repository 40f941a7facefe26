import { detachSession, dropSession } from "../../bases/edit-session.ts";
import { withContextAsync } from "../../errors.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { takeSession } from "./session.ts";

export const command: Command = {
  name: "base abort",
  summary: "Drop the editing session of a base, with its changes",
  operands: [{ name: "NAME", complete: "base" }],
  options: [],
  description: "The base stays as it was. The session is unmounted even while a process works in it.",
  examples: ["veneer base abort debian"],
  async run(context, input) {
    const name = checkName("base", input.operands[0] ?? "");
    const { store } = context.settings;
    await withContextAsync(`abort ${name}`, async () => {
      const { session, lock } = takeSession(store, name);
      using _lock = lock;
      detachSession(store, name, true);
      await dropSession(store, name, session);
    });
  },
};
