/** Names that are given by their beginning. */
import { VeneerError } from "../errors.ts";
import { quote } from "./quote.ts";

/** As many candidates as an error names. */
const NAMED = 8;

/**
 * The name that is `wanted`, else the only one that begins with it; undefined where none does. Throws AMBIGUOUS where
 * several do.
 */
export function byPrefix(names: Iterable<string>, wanted: string): string | undefined {
  const all = new Set(names);
  if (all.has(wanted)) return wanted;
  const found = [...all].filter((name) => name.startsWith(wanted)).sort();
  if (found.length < 2 || wanted === "") return wanted === "" ? undefined : found[0];
  const more = found.length > NAMED ? " and others" : "";
  throw new VeneerError("AMBIGUOUS", `${quote(wanted)} is the beginning of several names`, {
    hint: `write more of one: ${found.slice(0, NAMED).join(", ")}${more}`,
  });
}
