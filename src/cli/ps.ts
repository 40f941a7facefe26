import { formatError } from "../errors.ts";
import { formatBaseRef } from "../names.ts";
import { makeBehind } from "../store/behind.ts";
import { listRunning } from "../store/running.ts";
import type { Command } from "./command.ts";
import { JSON_OPTION, printRows } from "./table.ts";

export const command: Command = {
  name: "ps",
  summary: "List what runs: containers and instances mounted by hand",
  description: `
BEHIND is how many versions of its base came after the one that it runs on, up to the current one: 'veneer
rollout BASE' moves what is behind. It is negative where an older version was made the current one.`,
  operands: [],
  options: [JSON_OPTION],
  run(context, input) {
    // one damaged record hides no other
    const report = (error: unknown) => context.note(`veneer: ${formatError(error)}`);
    const behind = makeBehind(context.settings.store);
    const rows = listRunning(context.settings.store, report).map(({ record, pid }) => ({
      container: record.container ?? null,
      engine: record.engine,
      instance: record.instance ?? null,
      base: record.base,
      version: record.version,
      behind: behind(record.base, record.version),
      pid: pid ?? null,
      since: record.created,
      target: record.engine === "mount" ? (record.target ?? null) : null,
    }));
    printRows(context, input, rows, [
      { title: "CONTAINER", cell: (row) => row.container ?? row.target ?? "-" },
      { title: "ENGINE", cell: (row) => row.engine },
      { title: "INSTANCE", cell: (row) => row.instance ?? "-" },
      { title: "BASE", cell: ({ base: name, version }) => formatBaseRef({ name, version }) },
      { title: "BEHIND", cell: (row) => String(row.behind ?? "?"), right: true },
      { title: "PID", cell: (row) => String(row.pid ?? "-"), right: true },
      { title: "SINCE", cell: (row) => row.since },
    ]);
  },
};
