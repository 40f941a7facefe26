import { rebase } from "../apply/generations.ts";
import { printablePath } from "../bytes.ts";
import { formatError } from "../errors.ts";
import { type BaseRef, checkName, formatBaseRef } from "../names.ts";
import { type Conflict, conflictLine, databaseWarnings } from "../plan/rebase.ts";
import { readVersion } from "../store/bases.ts";
import { viewInstances } from "../store/view.ts";
import type { Command, Context } from "./command.ts";
import { JSON_OPTION } from "./table.ts";

interface Row {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly rebased: boolean;
  readonly conflicts: readonly Conflict[];
  readonly error?: string;
}

export const command: Command = {
  name: "rollout",
  summary: "Rebase every instance of a base onto its current version",
  description: `
Prints the id of each instance that was rebased, and below it what the instance and the base both changed, as
'veneer rebase' does. One that cannot be rebased, because a container runs on it for instance, is told on
stderr; the others are rebased all the same, and the status is 1.`,
  operands: [{ name: "BASE", complete: "base" }],
  options: [{ name: "--dry-run", help: "change nothing; also for instances that are in use" }, JSON_OPTION],
  run(context, input) {
    const { store } = context.settings;
    const { name, version } = readVersion(store, { name: checkName("base", input.operands[0] ?? "") });
    const to = { name, version };
    const rows = viewInstances(store)
      .filter(({ instance }) => instance?.base === name && instance.version !== version)
      .map(({ id, instance }) => {
        const from = { name, version: instance?.version ?? version };
        return rollOut(context, id, from, to, input.has("--dry-run"));
      });
    if (input.has("--json")) context.out(JSON.stringify(rows, undefined, 2));
    else for (const row of rows) print(context, row);
    return rows.some(({ error }) => error !== undefined) ? 1 : 0;
  },
};

function rollOut(context: Context, id: string, from: BaseRef, to: BaseRef, dryRun: boolean): Row {
  const row = { id, from: formatBaseRef(from), to: formatBaseRef(to) };
  try {
    const { conflicts, instance } = rebase(context.settings, id, to, dryRun);
    return { ...row, rebased: instance !== undefined, conflicts };
  } catch (error) {
    const text = formatError(error);
    context.note(`veneer: ${text}`);
    return { ...row, rebased: false, conflicts: [], error: text };
  }
}

function print(context: Context, { id, to, conflicts, error }: Row): void {
  if (error !== undefined) return;
  context.out(id);
  for (const conflict of conflicts) context.out(`  ${printablePath(conflictLine(conflict))}`);
  for (const warning of databaseWarnings(conflicts, to)) context.note(`veneer: ${id}: ${warning}`);
}
