import { conflictLine, databaseWarnings } from "../../rebase/conflicts.ts";
import { type RebaseResult, rebase } from "../../rebase/generations.ts";
import { printablePath } from "../../text/file-names.ts";
import { checkName, formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command, Context } from "../framework/command.ts";
import { JSON_OPTION } from "../framework/table.ts";
import { noteGeneration } from "./generation.ts";
import { processOfOperand } from "./joined-namespace.ts";
import { noteLive, noteOutlook } from "./live.ts";
import { PAUSE_OPTION, pauseLimitOf } from "./pause-option.ts";

export const command: Command = {
  name: "rebase",
  changes: true,
  joins: processOfOperand,
  summary: "Move an instance and its changes onto another version",
  description: `
Prints a line for each path that the instance and the base both changed, so that the instance's own copy hides
the base's: a letter for what the instance did, one for what happened in the base between the two versions (A
added, C changed, D deleted), and the path. If a package database is among them, stderr names it.

A running container keeps running: it is paused for a few milliseconds, gets its new root with all its mounts,
and continues. From then on it opens files of the new version. A process that has files or libraries of the old version
open keeps them until it is restarted; stderr lists it, and so does 'veneer ps --stale'. Files open
for reading and writing, locks and sockets block the rebase: see docs/live-rebase.md. ID may also be a
container without a named instance. An instance that is mounted by hand stays mounted where it is.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "BASE[@V]", complete: "base" },
  ],
  options: [
    {
      name: "--dry-run",
      help: "change nothing; for a running container, report what would block it and what would need a restart",
    },
    { name: "--force", help: "go on in spite of open files that block it" },
    PAUSE_OPTION,
    JSON_OPTION,
  ],
  examples: ["veneer rebase web1 debian --dry-run", "veneer rebase web1 debian@4"],
  run(context, input) {
    const [name = "", base = ""] = input.operands;
    const id = checkName("instance", name);
    const options = {
      dryRun: input.has("--dry-run"),
      force: input.has("--force"),
      pauseLimit: pauseLimitOf(input),
    };
    const result = rebase(context.settings, id, parseBaseRef(base), options);
    if (input.has("--json")) context.out(JSON.stringify(describe(id, result), undefined, 2));
    else for (const conflict of result.conflicts) context.out(printablePath(conflictLine(conflict)));
    note(context, id, result);
  },
};

function describe(id: string, { before, after, rebased, conflicts, live, outlook }: RebaseResult): object {
  const [from, to] = [formatBaseRef(before), formatBaseRef(after)];
  return { id, from, to, rebased, conflicts, ...outlook, live };
}

function note(context: Context, id: string, result: RebaseResult): void {
  const { before, after, conflicts, rebased, instance, live, outlook } = result;
  const [from, to] = [formatBaseRef(before), formatBaseRef(after)];
  for (const warning of databaseWarnings(conflicts, to)) context.note(`veneer: ${warning}`);
  if (outlook) noteOutlook(context, outlook);
  if (live) noteLive(context, id, live);
  if (instance) noteGeneration(context, id, instance);
  else if (rebased) context.note(`veneer: container ${id} is on ${to}`);
  else if (from === to) context.note(`veneer: instance ${id} is on ${to} already`);
}
