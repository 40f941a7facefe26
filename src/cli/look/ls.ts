import { makeBehind } from "../../inventory/behind.ts";
import { ownBytes, totalBytes, viewInstances } from "../../inventory/view.ts";
import { formatBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { formatBytes, JSON_OPTION, printRows } from "../framework/table.ts";

export const command: Command = {
  name: "ls",
  summary: "List the instances",
  description: `
BEHIND is the number of versions of its base after its own, up to the current one; it is negative if an older
version was made current. OWN is the disk space of the instance's changes, kept generations included.`,
  operands: [],
  options: [JSON_OPTION],
  run(context, input) {
    const { store } = context.settings;
    const behind = makeBehind(store);
    const rows = viewInstances(store).map(({ id, state, instance, error }) => ({
      id,
      base: instance?.base ?? null,
      version: instance?.version ?? null,
      behind: instance ? behind(instance.base, instance.version) : null,
      generation: instance?.generation ?? null,
      state,
      bytes: (instance && totalBytes(ownBytes(store, id, instance))) ?? null,
      created: instance?.created ?? null,
      ...(error !== undefined && { error }),
    }));
    for (const { error } of rows) if (error !== undefined) context.note(`veneer: ${error}`);
    printRows(context, input, rows, [
      { title: "ID", cell: (row) => row.id },
      {
        title: "BASE",
        cell: ({ base: name, version }) =>
          name === null || version === null ? "?" : formatBaseRef({ name, version }),
      },
      { title: "BEHIND", cell: (row) => String(row.behind ?? "?"), right: true },
      { title: "STATE", cell: (row) => row.state },
      { title: "OWN", cell: (row) => (row.bytes === null ? "?" : formatBytes(row.bytes)), right: true },
      { title: "CREATED", cell: (row) => row.created ?? "?" },
    ]);
  },
};
