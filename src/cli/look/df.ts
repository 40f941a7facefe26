import { measureStore } from "../../gc/df.ts";
import { bar, type Df } from "../../gc/df-figures.ts";
import { formatBaseRef } from "../../text/names.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { isTerminal } from "../framework/output.ts";
import { drawProgress } from "../framework/progress.ts";
import { type Column, formatBytes, JSON_OPTION, printRows } from "../framework/table.ts";

const BAR = 20;

export const command: Command = {
  name: "df",
  summary: "Show the disk space of bases and instances, and of full copies in their place",
  description: `
A base's layers count once, whatever uses them; what it shares with other bases is listed separately.
SAVED is what its layers would take more if no file were stored once for several layers. OWN is what
an instance (kept generations included) or a running container has written, AS A COPY what a
full copy of its base would take. On a terminal each row has a bar: own bytes against the full copy.`,
  operands: [],
  options: [JSON_OPTION],
  async run(context, input) {
    const df = await measure(context);
    if (input.has("--json")) context.out(JSON.stringify(df, undefined, 2));
    else print(context, input, df);
  },
};

async function measure(context: Context): Promise<Df> {
  using progress = drawProgress(context);
  return await measureStore(context.settings.store, progress);
}

function print(context: Context, input: Input, { bases, instances, total }: Df): void {
  const bars = isTerminal(1);
  const largest = Math.max(0, ...bases.map((row) => row.bytes));
  printRows(context, input, bases, [
    { title: "BASE", cell: (row) => row.base },
    { title: "VERSIONS", cell: (row) => String(row.versions), right: true },
    { title: "USERS", cell: (row) => String(row.users), right: true },
    { title: "SIZE", cell: (row) => formatBytes(row.bytes), right: true },
    { title: "SHARED", cell: (row) => formatBytes(row.shared), right: true },
    { title: "SAVED", cell: (row) => formatBytes(row.saved), right: true },
    { title: "IN PLACE", cell: (row) => formatBytes(row.inPlace), right: true },
    ...barColumn<(typeof bases)[number]>(bars, (row) => bar(row.bytes, largest, BAR)),
  ]);
  context.out("");
  printRows(context, input, instances, [
    { title: "INSTANCE", cell: (row) => (row.kind === "container" ? `(${row.id})` : row.id) },
    { title: "ON", cell: ({ base: name, version }) => formatBaseRef({ name, version }) },
    { title: "OWN", cell: (row) => (row.bytes === null ? "?" : formatBytes(row.bytes)), right: true },
    { title: "AS A COPY", cell: (row) => formatBytes(row.copy), right: true },
    ...barColumn<(typeof instances)[number]>(bars, (row) => bar(row.bytes ?? 0, row.copy, BAR)),
  ]);
  context.out("");
  const copies = formatBytes(total.copies);
  const saved = total.saved > 0 ? `, ${formatBytes(total.saved)} saved by files that layers share` : "";
  context.out(
    `${formatBytes(total.withInPlace)} in all${saved}; as full copies the instances would take ${copies}`,
  );
}

function barColumn<Row>(shown: boolean, cell: (row: Row) => string): Column<Row>[] {
  return shown ? [{ title: "", cell }] : [];
}
