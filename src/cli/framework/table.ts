/** Listings: columns for people, JSON for programs. */
import type { Context, Input, Option } from "./command.ts";

export const JSON_OPTION: Option = { name: "--json", help: "print JSON" };

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly right?: boolean;
}

/** Prints rows as a table with a heading, or with --json as an array of the rows themselves. */
export function printRows<Row>(
  context: Context,
  input: Input,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): void {
  if (input.has("--json")) {
    context.out(JSON.stringify(rows, undefined, 2));
    return;
  }
  const cells = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => column.cell(row))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => (line[index] as string).length)));
  for (const line of cells) {
    const padded = line.map((cell, index) =>
      columns[index]?.right ? cell.padStart(widths[index] as number) : cell.padEnd(widths[index] as number),
    );
    context.out(padded.join("  ").trimEnd());
  }
}

/** A text of any origin for a cell: one line, at most `length` characters. */
export function shorten(text: string, length = 48): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** `12.3 MiB` */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
