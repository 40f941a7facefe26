import { formatError } from "../../errors.ts";
import { type BaseSummary, describeBase } from "../../inventory/describe.ts";
import { namesOfBases } from "../../store/shares.ts";
import type { Command } from "../framework/command.ts";
import { formatBytes, JSON_OPTION, printRows, shorten } from "../framework/table.ts";

const marks = ({ editing, shared }: BaseSummary) =>
  [editing ? "editing" : [], shared ? "shared" : []].flat().join(", ");

export const command: Command = {
  name: "base ls",
  summary: "List the bases",
  operands: [],
  options: [JSON_OPTION],
  description: `A line for each base: its current version, the number of versions, the disk space of all their layers (a layer that
several bases share counts in each; directories in place do not count), what they would take more if no file were stored once for several
layers, and when and from what the current version was made. "editing" marks a base
with an open session, "shared" one that root shares with users.`,
  run(context, input) {
    const { store } = context.settings;
    const problems: string[] = [];
    const rows = namesOfBases(store).flatMap((name) => {
      try {
        return [describeBase(store, name)];
      } catch (error) {
        problems.push(`base ${name}: ${formatError(error)}`);
        return [];
      }
    });
    printRows(context, input, rows, [
      { title: "NAME", cell: (row) => row.name },
      { title: "VERSION", cell: (row) => String(row.version), right: true },
      { title: "VERSIONS", cell: (row) => String(row.versions), right: true },
      { title: "LAYERS", cell: (row) => String(row.layers), right: true },
      { title: "SIZE", cell: (row) => formatBytes(row.bytes), right: true },
      { title: "SAVED", cell: (row) => formatBytes(row.saved), right: true },
      { title: "CREATED", cell: (row) => row.created },
      { title: "ORIGIN", cell: (row) => shorten(row.origin) },
      { title: "", cell: (row) => marks(row) },
    ]);
    for (const problem of problems) context.note(`veneer: ${problem}`);
    return problems.length > 0 ? 1 : 0;
  },
};
