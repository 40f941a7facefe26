import { formatError, UsageError } from "../../errors.ts";
import { listPolicies, type Policy, policyDirectory, readPolicy } from "../../inventory/policy.ts";
import { onInterrupt } from "../../process/interrupt.ts";
import { makeStore } from "../../store/paths.ts";
import { failureOf } from "../../store/versions.ts";
import { checkName, formatBaseRef } from "../../text/names.ts";
import { type UpdateResult, updateBase } from "../../update/round.ts";
import { lockUpdates, readUpdate } from "../../update/state.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "base update",
  changes: true,
  publishes: true,
  summary: "Run one round of a base's policy: make a candidate, check it, roll it out",
  operands: [{ name: "NAME", optional: true, repeated: true, complete: "base" }],
  options: [
    { name: "--all", help: "every base that has a policy, one after the other" },
    { name: "--retry", help: "try a version again that failed before" },
    { name: "--dry-run", help: "change nothing; print what would be done" },
    JSON_OPTION,
  ],
  description: `Makes a candidate from the source that the policy names ('veneer base policy NAME'), checks it in a temporary container,
rolls it out, makes it the current version, removes versions that the policy does not keep, and runs the policy's command for
success or failure. Does nothing if the source has nothing new. A candidate that fails is remembered, and an equal one
is skipped unless --retry is given.

An interrupted round (by a signal, a kill, a power loss) continues where it was. One base of a store is updated at a
time: a second call waits. Prints a line for each base; the exit status is 1 if one failed. 'veneer setup updates' lets
systemd run it.`,
  examples: ["veneer base update debian --dry-run", "veneer base update --all"],
  async run(context, input) {
    const directory = policyDirectory(context.configFile);
    const names = namesOf(input, directory);
    if (input.has("--dry-run")) return plan(context, input, directory, names);
    const { store } = context.settings;
    makeStore(store);
    using interrupted = onInterrupt();
    const results: UpdateResult[] = [];
    for (const name of names) {
      if (interrupted.signal.aborted) break;
      using _lock = lockUpdates(store);
      using progress = drawProgress(context);
      const result = await oneRound(context, input, directory, name, { progress, stop: interrupted.signal });
      progress[Symbol.dispose]();
      results.push(result);
      if (!input.has("--json")) context.out(lineOf(result));
    }
    if (input.has("--json")) context.out(JSON.stringify(results, undefined, 2));
    return results.every(({ outcome }) => outcome !== "failed" && outcome !== "interrupted") ? 0 : 1;
  },
};

function namesOf(input: Input, directory: string): string[] {
  const given = input.operands.map((name) => checkName("base", name));
  if (input.has("--all") === given.length > 0) throw new UsageError("name bases, or give --all");
  return input.has("--all") ? listPolicies(directory) : given;
}

async function oneRound(
  context: Context,
  input: Input,
  directory: string,
  name: string,
  surroundings: { progress: ReturnType<typeof drawProgress>; stop: AbortSignal },
): Promise<UpdateResult> {
  const { store } = context.settings;
  const { progress, stop } = surroundings;
  let policy: Policy;
  try {
    ({ policy } = readPolicy(directory, name));
  } catch (error) {
    return { base: name, outcome: "failed", message: formatError(error) };
  }
  const config = context.handedConfig === "" ? [] : ["--config", context.handedConfig];
  const globals = ["--root", store.root, "--run", store.run, ...config];
  const own = { globals, env: context.env, stop };
  return updateBase({ store, name, policy, own, progress, retry: input.has("--retry") });
}

function lineOf({ base, outcome, version, message }: UpdateResult): string {
  const at = version === undefined ? "" : ` at ${formatBaseRef({ name: base, version })}`;
  return `${base}: ${outcome}${at}${message === undefined ? "" : `: ${message}`}`;
}

function plan(context: Context, input: Input, directory: string, names: readonly string[]): number {
  const { store } = context.settings;
  const rows = names.map((name) => {
    const { policy } = readPolicy(directory, name);
    const candidate = readUpdate(store, name)?.candidate;
    const failed = candidate === undefined ? undefined : failureOf(store, name, candidate);
    return { base: name, policy, ...(candidate !== undefined && { candidate }), ...(failed && { failed }) };
  });
  if (input.has("--json")) context.out(JSON.stringify(rows, undefined, 2));
  else
    for (const { base, policy, candidate } of rows)
      context.out(`${base}: ${stepsOf(base, policy, candidate)}`);
  return 0;
}

function stepsOf(
  name: string,
  { source, check, rollout, keep }: Policy,
  candidate: number | undefined,
): string {
  const from =
    "image" in source
      ? `import ${source.image}`
      : "directory" in source
        ? `import ${source.directory}`
        : `run '${source.command}'${source.base === undefined ? "" : ` on ${source.base}`}`;
  const first =
    candidate === undefined ? from : `continue with ${formatBaseRef({ name, version: candidate })}`;
  return [
    first,
    ...(check ? [`check '${check.command}' in a container`] : []),
    rollout === false ? "make it the current version" : "roll it out",
    ...(keep ? ["remove old versions"] : []),
  ].join(", then ");
}
