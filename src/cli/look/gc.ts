import { sweepRuns } from "../../containers/run.ts";
import { formatError, VeneerError } from "../../errors.ts";
import { collectGarbage, emptyTrash } from "../../gc/collect.ts";
import type { Freed } from "../../gc/describe.ts";
import { makeStore } from "../../store/paths.ts";
import { lstatMaybe } from "../../sys/stat.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { formatBytes, JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "gc",
  changes: true,
  summary: "Free what nothing uses: after crashes, kills and containers that ended without cleanup",
  operands: [],
  options: [
    { name: "--dry-run", help: "free nothing; print what would be freed" },
    { name: "--trash", help: "only empty the trash, silently; for background use" },
    JSON_OPTION,
  ],
  description: `Frees records of containers that are gone, ephemeral uppers without a container, generations that no
instance names, leftovers of killed imports and edits, layers that no version of any base needs, bundles of killed
'veneer run' processes, overlays below the --run directory that no record names, and the trash. Never touches what runs or is being started, imported or
edited; a second gc waits for the first. Also merges the parts that live rebases left in instances
that do not run.

Prints a line for each kind: how many, and how much disk space. What is busy is reported on stderr and left for the
next time. The exit status is 1 if something could not be inspected or freed; the rest is freed.`,
  examples: ["veneer gc", "veneer gc --dry-run --json"],
  async run(context, input) {
    const { store } = context.settings;
    if (!lstatMaybe(store.root)) {
      // do not create a store at a mistyped --root
      context.note(`veneer: gc: no store at ${store.root}`);
      report(context, input, [], []);
      return 0;
    }
    makeStore(store);
    if (input.has("--trash")) {
      await emptyTrash(store);
      return 0;
    }
    const dryRun = input.has("--dry-run");
    let result: Awaited<ReturnType<typeof collectGarbage>>;
    {
      using progress = drawProgress(context);
      const { env } = context;
      const bundles = sweepRuns({ store, configFile: context.handedConfig, env }, dryRun);
      result = await collectGarbage(store, dryRun, progress);
      const freed = bundles.map((what) => ({ kind: "bundle" as const, what, bytes: 0 }));
      result = { ...result, freed: [...freed, ...result.freed] };
    }
    const { freed } = result;
    const problems = result.problems.map((problem) => formatError(problem));
    report(context, input, freed, problems);
    const failed = result.problems.some(
      (problem) => !(problem instanceof VeneerError && problem.code === "BUSY"),
    );
    return failed ? 1 : 0;
  },
};

function report(context: Context, input: Input, freed: readonly Freed[], problems: readonly string[]): void {
  const dryRun = input.has("--dry-run");
  if (input.has("--json")) {
    const bytes = freed.reduce((sum, one) => sum + one.bytes, 0);
    context.out(JSON.stringify({ dryRun, bytes, freed, problems }, undefined, 2));
  } else for (const line of summary(freed, dryRun)) context.out(line);
  for (const problem of problems) context.note(`veneer: gc: ${problem}`);
}

/** Lines for people: `freed 3 ephemeral uppers, 12.3 MiB`. */
function summary(freed: readonly Freed[], dryRun: boolean): string[] {
  const verb = dryRun ? "would free" : "freed";
  if (freed.length === 0) return [`${verb} nothing`];
  const kinds = [...new Set(freed.map(({ kind }) => kind))];
  return kinds.map((kind) => {
    const those = freed.filter((one) => one.kind === kind);
    const bytes = those.reduce((sum, one) => sum + one.bytes, 0);
    if (kind === "parts")
      return `${dryRun ? "would merge" : "merged"} the parts of ${instances(those.length)}`;
    const noun = those.length === 1 ? kind : (PLURALS[kind] ?? `${kind}s`);
    return `${verb} ${those.length} ${noun}${bytes > 0 ? `, ${formatBytes(bytes)}` : ""}`;
  });
}

const instances = (count: number) => (count === 1 ? "1 instance" : `${count} instances`);

const PLURALS: Readonly<Record<string, string>> = {
  staging: "staging directories",
  trash: "trash directories",
};
