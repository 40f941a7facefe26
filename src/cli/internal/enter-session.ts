import { enterSession } from "../../bases/enter-session.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "internal enter-session",
  summary: "Prepare the root of a command that edits a base",
  operands: [{ name: "NAME" }],
  options: [],
  run(context, input) {
    enterSession(context.settings.store, input.operands[0] ?? "");
  },
};
