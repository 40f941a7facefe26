import { rebase } from "../apply/generations.ts";
import { printablePath } from "../bytes.ts";
import { checkName, formatBaseRef, parseBaseRef } from "../names.ts";
import { conflictLine, databaseWarnings } from "../plan/rebase.ts";
import type { Command } from "./command.ts";
import { noteGeneration } from "./generation.ts";
import { JSON_OPTION } from "./table.ts";

export const command: Command = {
  name: "rebase",
  summary: "Put an instance's changes on another version",
  description: `
Prints a line for each path that the instance and the base both changed, so that the instance's own copy hides
the base's: a letter for what the instance did, one for what happened in the base between the two versions (A
added, C changed, D deleted), and the path. A package database among them is called by its name on stderr. An
instance that is mounted by hand stays mounted where it is. Refused while a container runs on it.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "BASE[@V]", complete: "base" },
  ],
  options: [{ name: "--dry-run", help: "change nothing; also for an instance that is in use" }, JSON_OPTION],
  examples: ["veneer rebase web1 debian --dry-run", "veneer rebase web1 debian@4"],
  run(context, input) {
    const [name = "", base = ""] = input.operands;
    const id = checkName("instance", name);
    const dryRun = input.has("--dry-run");
    const { before, after, conflicts, instance } = rebase(context.settings, id, parseBaseRef(base), dryRun);
    const [from, to] = [formatBaseRef(before), formatBaseRef(after)];
    if (input.has("--json")) {
      const rebased = instance !== undefined;
      context.out(JSON.stringify({ id, from, to, rebased, conflicts }, undefined, 2));
    } else for (const conflict of conflicts) context.out(printablePath(conflictLine(conflict)));
    for (const warning of databaseWarnings(conflicts, to)) context.note(`veneer: ${warning}`);
    if (instance) noteGeneration(context, id, instance);
    else if (from === to) context.note(`veneer: instance ${id} is on ${to} already`);
  },
};
