import { UsageError } from "../../errors.ts";
import type { Instance } from "../../store/instances.ts";
import { formatBaseRef } from "../../text/names.ts";
import { quote } from "../../text/quote.ts";
import type { Context } from "../framework/command.ts";

/** Prints a note with the current generation of an instance. */
export function noteGeneration(context: Context, id: string, instance: Instance): void {
  const ref = formatBaseRef({ name: instance.base, version: instance.version });
  context.note(`veneer: instance ${id} is on ${ref}, generation ${instance.generation}`);
}

/** Parses the number of a generation; undefined when none is given. Throws UsageError. */
export function parseGeneration(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new UsageError(`generation ${quote(text)} is not a number`, "'veneer inspect ID' lists them");
}
