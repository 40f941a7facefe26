/** How the verbs that publish versions tell of it. */
import type { Published } from "../../layers/published.ts";
import { formatBaseRef } from "../../text/names.ts";
import type { Context, Input, Option } from "./command.ts";

export const ALWAYS: Option = {
  name: "--always",
  help: "publish a version though it shows the same as the current one",
};

/** Prints NAME@VERSION, or with --json an object; a note where nothing was published, unless `silent`. */
export function tellPublished(context: Context, input: Input, made: Published, silent = false): void {
  const { name, version, unchanged } = made;
  const ref = formatBaseRef(made);
  if (unchanged && !silent)
    context.note(`veneer: nothing is different: ${ref} stays, no version was published`);
  if (input.has("--json")) context.out(JSON.stringify({ name, version, published: !unchanged }));
  else context.out(ref);
}
