/** Parses ages as people write them. */
import { UsageError } from "../errors.ts";
import { quote } from "../text/quote.ts";

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Converts `90s`, `30m`, `12h`, `30d` or `8w` to milliseconds. Throws UsageError for anything else. */
export function parseAge(text: string): number {
  const [, count, unit] = /^([0-9]{1,6})([smhdw])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined) {
    throw new UsageError(`age ${quote(text)} is not valid`, "write 30m, 12h, 30d or 8w");
  }
  return Number(count) * (UNITS[unit] as number) * 1000;
}
