import { removeInstance } from "../apply/remove-instance.ts";
import { checkName } from "../names.ts";
import type { Command } from "./command.ts";
import { deleteAside } from "./delete-aside.ts";

export const command: Command = {
  name: "rm",
  summary: "Remove an instance and all its changes",
  description: `
Refused while something holds the instance. Its name is free at once, whatever its size; a large one is
deleted in the background.`,
  operands: [{ name: "ID", repeated: true, complete: "instance" }],
  options: [],
  async run(context, input) {
    const { store } = context.settings;
    const ids = input.operands.map((name) => checkName("instance", name));
    for (const id of ids) await deleteAside(removeInstance(store, id));
  },
};
