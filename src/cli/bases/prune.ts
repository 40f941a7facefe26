import { parseAge } from "../../bases/age.ts";
import { type Pruned, type PruneOptions, planPrune, pruneVersion } from "../../bases/prune.ts";
import { formatError, UsageError } from "../../errors.ts";
import { deleteTrash } from "../../gc/empty-trash.ts";
import { refuseShared } from "../../store/shared.ts";
import { checkName, formatBaseRef } from "../../text/names.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { JSON_OPTION, printRows } from "../framework/table.ts";

interface Row extends Pruned {
  readonly base: string;
}

export const command: Command = {
  name: "base prune",
  changes: true,
  summary: "Remove the old versions of a base that nothing uses",
  operands: [{ name: "NAME", repeated: true, complete: "base" }],
  options: [
    { name: "--keep", value: "N", help: "also keep the N newest below the current one" },
    { name: "--older-than", value: "AGE", help: "only those made longer ago: 12h, 30d, 8w" },
    { name: "--dry-run", help: "remove nothing; print what would be removed" },
    JSON_OPTION,
  ],
  description: `Removes versions that are older than the current one. Versions that an instance, a container, an editing session, a
rollout, users or another base use stay, and are listed with their users. Layers that other versions share stay too.`,
  examples: ["veneer base prune debian", "veneer base prune debian apps --keep 2 --older-than 30d"],
  async run(context, input) {
    const { store } = context.settings;
    const names = input.operands.map((name) => checkName("base", name));
    const options = readOptions(input);
    const rows: Row[] = [];
    const trash: string[] = [];
    let failures = 0;
    for (const base of names) {
      refuseShared(store, base);
      for (const pruned of planPrune(store, base, options)) {
        if (pruned.kept !== undefined || input.has("--dry-run")) rows.push({ base, ...pruned });
        else {
          try {
            trash.push(...pruneVersion(store, base, pruned.version));
            rows.push({ base, ...pruned });
          } catch (error) {
            failures++;
            context.note(`veneer: ${formatError(error)}`);
          }
        }
      }
    }
    print(context, input, rows);
    using progress = drawProgress(context);
    progress.step("deleting");
    await deleteTrash(trash);
    return failures === 0 ? 0 : 1;
  },
};

function readOptions(input: Input): PruneOptions {
  const keep = input.value("--keep");
  if (keep !== undefined && !/^[0-9]{1,6}$/.test(keep)) {
    throw new UsageError(`--keep ${quote(keep)} is not a number`);
  }
  const age = input.value("--older-than");
  return {
    keep: keep === undefined ? undefined : Number(keep),
    before: age === undefined ? undefined : Date.now() - parseAge(age),
  };
}

function print(context: Context, input: Input, rows: readonly Row[]): void {
  if (!input.has("--json") && rows.length === 0) return;
  printRows(context, input, rows, [
    { title: "VERSION", cell: ({ base: name, version }) => formatBaseRef({ name, version }) },
    {
      title: "STATE",
      cell: ({ kept }) => kept ?? (input.has("--dry-run") ? "to be removed" : "removed"),
    },
  ]);
}
