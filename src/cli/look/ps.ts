import { formatError, VeneerError } from "../../errors.ts";
import { makeBehind } from "../../inventory/behind.ts";
import { listRunning, type Running, runningNames } from "../../inventory/running.ts";
import { changedUses, staleOf } from "../../live/stale.ts";
import { printablePath } from "../../text/file-names.ts";
import { formatBaseRef } from "../../text/names.ts";
import { byPrefix } from "../../text/prefix.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { JSON_OPTION, printRows } from "../framework/table.ts";

export const command: Command = {
  name: "ps",
  summary: "List what runs: containers and instances mounted by hand",
  description: `
BEHIND is the number of versions of its base after the one that it runs on, up to the current one; 'veneer
rollout BASE' moves what is behind. It is negative if an older version was made current.

--stale lists processes that need a restart: they still use files of a version from before a live rebase that differ in the
current one. With --all it also lists files that are the same in both, which keep the former version in use.`,
  operands: [{ name: "ID", optional: true, complete: "instance" }],
  options: [
    { name: "--stale", help: "processes with files, libraries or directories of an earlier root open" },
    { name: "--all", help: "with --stale: also files that are the same in both versions" },
    JSON_OPTION,
  ],
  run(context, input): number | undefined {
    const [wanted] = input.operands;
    // report a damaged record and list the others
    const report = (error: unknown) => context.note(`veneer: ${formatError(error)}`);
    const all = listRunning(context.settings.store, report);
    const running = wanted === undefined ? all : named(all, wanted);
    if (wanted !== undefined && running.length === 0) {
      throw new VeneerError("NOT_RUNNING", `nothing called ${quote(wanted)} runs`, {
        hint: "'veneer ps' lists what does",
      });
    }
    if (input.has("--stale")) {
      return printStale(context, input, running);
    }
    const behind = makeBehind(context.settings.store);
    const rows = running.map(({ record, pid }) => ({
      container: record.container ?? null,
      engine: record.engine,
      instance: record.instance ?? null,
      base: record.base,
      version: record.version,
      behind: behind(record.base, record.version),
      pid: pid ?? null,
      since: record.created,
      target: record.engine === "mount" ? (record.target ?? null) : null,
    }));
    printRows(context, input, rows, [
      { title: "CONTAINER", cell: (row) => row.container ?? row.target ?? "-" },
      { title: "ENGINE", cell: (row) => row.engine },
      { title: "INSTANCE", cell: (row) => row.instance ?? "-" },
      { title: "BASE", cell: ({ base: name, version }) => formatBaseRef({ name, version }) },
      { title: "BEHIND", cell: (row) => String(row.behind ?? "?"), right: true },
      { title: "PID", cell: (row) => String(row.pid ?? "-"), right: true },
      { title: "SINCE", cell: (row) => row.since },
    ]);
  },
};

/** What runs under that name, or under the only name that begins with it. */
function named(running: readonly Running[], wanted: string): readonly Running[] {
  const name = byPrefix(runningNames(running, wanted), wanted);
  return running.filter(({ record }) => record.instance === name || record.container === name);
}

/** Returns the exit status. Reports a container that does not let itself be examined in time, and lists the others. */
function printStale(context: Context, input: Input, running: readonly Running[]): number {
  let status = 0;
  const rows = running.flatMap(({ record, pid }) => {
    const { container = null, instance = null } = record;
    try {
      const found = pid === undefined ? [] : staleOf(pid, record);
      const uses = input.has("--all")
        ? found
        : changedUses(context.settings.store, record, record.remains ?? [], found);
      return uses.map((use) => ({ container, instance, ...use }));
    } catch (error) {
      context.note(`veneer: ${container ?? instance}: ${formatError(error)}`);
      status = 1;
      return [];
    }
  });
  printRows(context, input, rows, [
    { title: "CONTAINER", cell: (row) => row.container ?? "-" },
    { title: "INSTANCE", cell: (row) => row.instance ?? "-" },
    { title: "PID", cell: (row) => String(row.pid), right: true },
    { title: "WHAT", cell: (row) => row.kind },
    { title: "PATH", cell: (row) => (row.path === "" ? "-" : printablePath(row.path)) },
    { title: "COMMAND", cell: (row) => printablePath(row.command) },
  ]);
  return status;
}
