import { copyOutput, outputIds } from "../../containers/output.ts";
import { isUp } from "../../containers/run.ts";
import { VeneerError } from "../../errors.ts";
import type { Command } from "../framework/command.ts";
import { findContainer } from "./find.ts";

export const command: Command = {
  name: "logs",
  summary: "Show what a container in the background wrote",
  outside: true,
  operands: [{ name: "ID", complete: "output" }],
  options: [{ name: "--follow", short: "-f", help: "also show what it writes until it ends" }],
  description: `
Shows the output and errors of a container of 'veneer run -d', in their order. At least the last 4 MiB are kept, at
most 8 MiB. Without --name they are deleted when the container ends; with it they stay until the next start.`,
  examples: ["veneer logs -f web1"],
  run(context, input) {
    const { store } = context.settings;
    const kept = outputIds(store);
    const id = findContainer(store, input.operands[0], { client: "logs" }, kept);
    if (!kept.includes(id)) {
      throw new VeneerError(
        "NO_LOG",
        `container ${id} runs in the foreground: its output is where it was started`,
        {
          hint: "start it with 'veneer run -d'",
        },
      );
    }
    copyOutput(store, id, 1, input.has("--follow") ? () => isUp(store, id) : undefined);
  },
};
