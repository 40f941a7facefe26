/** Prints listings: columns for people, JSON for programs. */

import type { Context, Input, Option } from "./command.ts";
import { terminalWidth } from "./output.ts";

export const JSON_OPTION: Option = { name: "--json", help: "print JSON" };

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly right?: boolean;
}

/** Prints rows as a table with a heading, or with --json as an array of the rows. */
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
    ...rows.map((row) => columns.map((column) => column.cell(row).replace(/[\n\t]/g, " "))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => (line[index] as string).length)));
  const fitted = fitColumns(widths, terminalWidth(1));
  for (const line of cells) {
    const padded = line.map((cell, index) => {
      const width = fitted[index] as number;
      const text = cell.length > width ? `${cell.slice(0, width - 1)}…` : cell;
      return columns[index]?.right ? text.padStart(width) : text.padEnd(width);
    });
    context.out(padded.join("  ").trimEnd());
  }
}

/** The least width of a column that is narrowed. */
const NARROWEST = 8;

/** Fits columns, two spaces apart, into a line of `most` characters; narrows the widest first. */
function fitColumns(widths: readonly number[], most: number): number[] {
  const fitted = [...widths];
  const total = () => fitted.reduce((sum, width) => sum + width, 0) + 2 * (fitted.length - 1);
  while (total() > most) {
    const widest = Math.max(...fitted);
    if (widest <= NARROWEST) break;
    fitted[fitted.indexOf(widest)] = widest - 1;
  }
  return fitted;
}

/** Makes untrusted text fit a cell: one line, at most `length` characters. */
export function shorten(text: string, length = 48): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}

/** Formats a size: `12.3 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
