/** How commands report the versions that they publish. */
import type { Published } from "../../layers/published.ts";
import { checkInnerPath, formatBaseRef } from "../../text/names.ts";
import type { Context, Input, Option } from "./command.ts";

export const ALWAYS: Option = {
  name: "--always",
  help: "publish a version though it shows the same as the current one",
};

export const CANDIDATE: Option = {
  name: "--candidate",
  help: "leave the current version the current one: 'rollout NAME@V --use' makes this one that when it has proved itself",
};

export const DISCARD: Option = {
  name: "--discard",
  value: "PATH",
  help: "leave out what was changed there and below; may be given several times",
};

/** The paths given with the option. Throws UsageError for an invalid one. */
export function readDiscarded(input: Input): string[] {
  return input.values(DISCARD.name).map((path) => checkInnerPath("discarded path", path));
}

/** Prints NAME@VERSION, or with --json an object. Notes that nothing was published, unless `silent`. */
export function tellPublished(context: Context, input: Input, made: Published, silent = false): void {
  const { name, version, unchanged } = made;
  const ref = formatBaseRef(made);
  if (unchanged && !silent)
    context.note(`veneer: nothing is different: ${ref} stays, no version was published`);
  else if (input.has("--candidate") && version > 1) {
    context.note(
      `veneer: ${ref} is a candidate; hint: 'veneer rollout ${ref} --use' makes it the current one`,
    );
  }
  if (input.has("--json")) context.out(JSON.stringify({ name, version, published: !unchanged }));
  else context.out(ref);
}
