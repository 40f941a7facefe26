import { describeLine } from "../../inventory/describe.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { formatBytes, JSON_OPTION, printRows, shorten } from "../framework/table.ts";

export const command: Command = {
  name: "base log",
  summary: "Show the versions of a base: when, how large, what made each, what uses it",
  operands: [{ name: "NAME", complete: "base" }],
  options: [JSON_OPTION],
  description: `Newest first; * marks the current version. SIZE is what the version's own layers take on disk: those that the version before
it does not have.`,
  run(context, input) {
    const rows = describeLine(context.settings.store, checkName("base", input.operands[0] ?? ""));
    printRows(context, input, rows, [
      { title: "VERSION", cell: (row) => `${row.current ? "*" : ""}${row.version}`, right: true },
      { title: "CREATED", cell: (row) => row.created },
      {
        title: "SIZE",
        cell: (row) => (row.bytes === undefined ? "in place" : formatBytes(row.bytes)),
        right: true,
      },
      { title: "LAYERS", cell: (row) => String(row.layers), right: true },
      { title: "ORIGIN", cell: (row) => shorten(row.origin) },
      { title: "USED BY", cell: (row) => row.uses.join(", ") },
    ]);
  },
};
