import { packageLines } from "../../bases/package-databases.ts";
import { packagesBetween } from "../../bases/packages.ts";
import { formatError, UsageError } from "../../errors.ts";
import { blockerLine } from "../../live/file-blockers.ts";
import { onInterrupt } from "../../process/interrupt.ts";
import { conflictLine, databaseWarnings } from "../../rebase/conflicts.ts";
import type { Row } from "../../rollout/member.ts";
import { type RolloutOptions, type RolloutResult, rollOut } from "../../rollout/rollout.ts";
import { readVersion } from "../../store/bases.ts";
import { printablePath } from "../../text/file-names.ts";
import { parseBaseRef } from "../../text/names.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { JSON_OPTION, printRows, shorten } from "../framework/table.ts";
import { staleSummary, staysLine } from "./live.ts";
import { PAUSE_OPTION, pauseLimitOf } from "./pause-option.ts";

const CHECK_TIMEOUT = "30";

export const command: Command = {
  name: "rollout",
  changes: true,
  summary: "Move every instance of a base onto its current version, in batches that are checked",
  description: `
Rebases every instance that is on another version, and every running container without one, as 'veneer rebase'
does: first the running ones, which keep running, then the mounted ones, then the stopped ones. One that cannot be moved is reported and left unchanged; the others
are moved, and the exit status is 1.

--check runs after each batch for each member of it that runs or is mounted. If it does not exit with 0
for one of them, the rollout stops, and everything that it has moved returns to its earlier version, with what
it has changed meanwhile; the exit status is 1. The command finds VENEER_INSTANCE, VENEER_CONTAINER, VENEER_ENGINE, VENEER_PID (the
container's first process), VENEER_ROOTFS (its root as the host sees it), VENEER_BASE, VENEER_VERSION and
VENEER_FROM in its environment. The rollout also stops if none of the canaries could be moved.

The same command continues an interrupted rollout (by SIGINT, a kill, a power loss): what has moved
stays, and what was not checked is checked. --revert reverts such a rollout. A rollout onto
another version replaces it.

With --use, a version that is not the current one (a candidate: 'base edit --candidate') becomes current at the end, if
nothing failed. A version whose check failed is remembered, and refused unless --retry is given.

Prints a table of the members (PAUSE: how long one was paused; STALE: processes that need a
restart, because they use files of the former version that differ). Below it, it lists what each member hides of the version, what needs a restart, and which packages the version has added, removed and changed.`,
  operands: [{ name: "BASE[@V]", complete: "base" }],
  options: [
    { name: "--canary", value: "N", help: "move and check N of them first" },
    { name: "--batch", value: "N", help: "then N at a time; default: all" },
    { name: "--check", value: "COMMAND", help: "run by sh on the host for each moved member" },
    {
      name: "--check-timeout",
      value: "SECONDS",
      help: `a check that takes longer has failed; default ${CHECK_TIMEOUT}`,
    },
    { name: "--pause", value: "SECONDS", help: "wait between two batches" },
    {
      name: "--after",
      value: "COMMAND",
      help: "run by sh on the host for each moved member that needs restarts: VENEER_STALE has the processes",
    },
    { name: "--use", help: "at a successful end, make the version the current one" },
    { name: "--retry", help: "with --use: try a version again whose check failed before" },
    { name: "--no-rollback", help: "revert nothing when a check fails" },
    { name: "--revert", synonym: "--back", help: "revert an unfinished rollout" },
    { name: "--force", help: "move running members in spite of open files that block it" },
    PAUSE_OPTION,
    { name: "--dry-run", help: "change nothing; report what would move and what it would hide" },
    JSON_OPTION,
  ],
  examples: [
    "veneer rollout debian --dry-run",
    "veneer rollout debian --canary 1 --batch 10 \\",
    "    --check 'nsenter -t \"$VENEER_PID\" -n curl -fsS http://127.0.0.1/health'",
    "veneer rollout debian@3                      back to an older version",
  ],
  async run(context, input) {
    const options = readOptions(context, input);
    let result: RolloutResult;
    {
      using interrupted = onInterrupt();
      using progress = drawProgress(context);
      result = await rollOut(context.settings, options, { progress, stop: interrupted.signal });
    }
    print(context, input, result);
    return result.outcome === "done" ||
      result.outcome === "nothing" ||
      isPlanned(result) ||
      isBack(result, options)
      ? 0
      : 1;
  },
};

function readOptions(context: Context, input: Input): RolloutOptions {
  const command = input.value("--check");
  const seconds = count(input, "--check-timeout") ?? Number(CHECK_TIMEOUT);
  if (command?.trim() === "") throw new UsageError("--check needs a command");
  const after = input.value("--after");
  const back = input.has("--revert");
  const ref = parseBaseRef(input.operands[0] ?? "");
  if (back && ref.version !== undefined) {
    throw new UsageError("--revert takes no version", "each goes back to the one that it was on");
  }
  return {
    ref,
    canary: count(input, "--canary"),
    batch: count(input, "--batch"),
    check: command === undefined ? undefined : { command, seconds, env: context.env },
    after: after === undefined ? undefined : { command: after, seconds, env: context.env },
    pause: count(input, "--pause"),
    use: input.has("--use"),
    retry: input.has("--retry"),
    rollback: !input.has("--no-rollback"),
    back,
    force: input.has("--force"),
    pauseLimit: pauseLimitOf(input),
    dryRun: input.has("--dry-run"),
  };
}

/** The value of an option that takes a number; undefined when it is not given. Throws UsageError. */
function count(input: Input, name: string): number | undefined {
  const text = input.value(name);
  if (text === undefined) return undefined;
  if (/^[1-9][0-9]{0,5}$/.test(text)) return Number(text);
  throw new UsageError(`${name} ${quote(text)} is not a number of 1 or more`);
}

function movedBack(back: number, stuck: number): string {
  return `${back} moved back${stuck > 0 ? `, ${stuck} could not be moved back` : ""}`;
}

/** Whether this was a dry run that could examine every member. */
function isPlanned({ outcome, rows }: RolloutResult): boolean {
  return outcome === "planned" && rows.every(({ state }) => state !== "failed");
}

/** Whether every member went back, as requested. */
function isBack({ outcome, rows }: RolloutResult, { back }: RolloutOptions): boolean {
  return back && outcome === "back" && rows.every(({ state }) => state !== "stuck");
}

function print(context: Context, input: Input, result: RolloutResult): void {
  const { base, to, outcome, rows, superseded } = result;
  if (superseded !== undefined && outcome !== "planned") {
    context.note(`veneer: took the place of the unfinished rollout onto ${superseded}`);
  }
  if (input.has("--json")) context.out(JSON.stringify({ base, to, outcome, members: rows }, undefined, 2));
  else if (rows.length > 0) {
    printTable(context, input, rows);
    printPackages(context, result);
  }
  const count = (...states: Row["state"][]) => rows.filter(({ state }) => states.includes(state)).length;
  const moved = count("moved", "checked", "refused");
  const again = `'veneer rollout ${to}' goes on, 'veneer rollout ${base} --revert' moves back what has moved`;
  const notes: Record<RolloutResult["outcome"], string | undefined> = {
    nothing: `nothing to do: no instance of ${base} is on another version than ${to}`,
    planned: undefined,
    done: `${moved} moved onto ${to}`,
    incomplete: `${moved} moved onto ${to}, ${count("failed")} could not be moved`,
    stopped: `stopped: ${count("refused")} failed their check, ${moved} are on ${to}; hint: ${again}`,
    back: movedBack(count("back"), count("stuck")),
    interrupted: `interrupted: ${moved} are on ${to}, ${rows.length - moved} are not; hint: ${again}`,
  };
  const note = notes[outcome];
  if (note !== undefined) context.note(`veneer: ${note}`);
}

function printTable(context: Context, input: Input, rows: readonly Row[]): void {
  printRows(context, input, rows, [
    { title: "INSTANCE", cell: (row) => row.id },
    { title: "FROM", cell: (row) => row.from },
    { title: "TO", cell: (row) => row.to },
    { title: "STATE", cell: (row) => row.state },
    {
      title: "PAUSE",
      cell: ({ pause }) => (pause === undefined ? "" : `${pause.toFixed(1)} ms`),
      right: true,
    },
    { title: "CONFLICTS", cell: (row) => String(row.conflicts.length), right: true },
    { title: "STALE", cell: (row) => String(new Set(row.stale.map(({ pid }) => pid)).size), right: true },
    { title: "MESSAGE", cell: (row) => shorten(row.message ?? "", 400) },
  ]);
  for (const { id, to, conflicts, stale, blockers, stays } of rows) {
    const section = (title: string, lines: readonly string[]) => {
      if (lines.length > 0)
        for (const line of ["", `${id} ${title}:`, ...lines.map((one) => `  ${one}`)]) context.out(line);
    };
    section(
      `hides of ${to}`,
      conflicts.map((conflict) => printablePath(conflictLine(conflict))),
    );
    section(
      "has open, in the way",
      blockers.map((blocker) => printablePath(blockerLine(blocker))),
    );
    section("does not keep", stays === undefined ? [] : [staysLine(stays)]);
    section("needs restarts", staleSummary(stale));
    for (const warning of databaseWarnings(conflicts, to)) context.note(`veneer: ${id}: ${warning}`);
  }
}

/** Prints how the packages of the version differ from those of the versions that the members came from. */
function printPackages(context: Context, { to, rows }: RolloutResult): void {
  const { store } = context.settings;
  for (const from of new Set(rows.map((row) => row.from))) {
    let lines: string[] = [];
    try {
      const [before, after] = [from, to].map((ref) => readVersion(store, parseBaseRef(ref)));
      const found = before && after && packagesBetween(store, before, after);
      lines = found ? packageLines(found) : [];
    } catch (error) {
      context.note(`veneer: packages of ${from} and ${to}: ${formatError(error)}`);
    }
    if (lines.length > 0) for (const line of ["", `packages of ${to} against ${from}:`]) context.out(line);
    for (const line of lines) context.out(`  ${line}`);
  }
}
