import { UsageError } from "../../errors.ts";
import { removeInstance } from "../../instances/remove.ts";
import { removeGeneration } from "../../rebase/remove-generation.ts";
import { deleteInBackground } from "../../store/delete-in-background.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { parseGeneration } from "./generation.ts";

export const command: Command = {
  name: "rm",
  changes: true,
  summary: "Remove an instance and all its changes",
  description: `
Refused while something holds the instance. Its name is free at once; a large instance is
deleted in the background.`,
  operands: [{ name: "ID", repeated: true, complete: "instance" }],
  options: [
    { name: "--generation", value: "N", help: "remove only this generation, which must not be in use" },
  ],
  run(context, input) {
    const { store } = context.settings;
    const ids = input.operands.map((name) => checkName("instance", name));
    const generation = parseGeneration(input.value("--generation"));
    if (generation !== undefined && ids.length > 1) {
      throw new UsageError("veneer rm --generation takes one ID");
    }
    if (generation !== undefined) {
      const trash = removeGeneration(store, ids[0] as string, generation);
      if (trash !== undefined) deleteInBackground(trash);
      return;
    }
    for (const id of ids) deleteInBackground(removeInstance(store, id));
  },
};
