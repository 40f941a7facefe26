import { bundleIds } from "../../containers/bundle.ts";
import { outputIds } from "../../containers/output.ts";
import { lxcPath } from "../../engines/lxc-container.ts";
import { listInstances } from "../../store/instances.ts";
import type { Store } from "../../store/paths.ts";
import { storeOfBase } from "../../store/shared.ts";
import { namesOfBases } from "../../store/shares.ts";
import { listVersions, readBaseFile } from "../../store/versions.ts";
import { readText } from "../../sys/fd.ts";
import { list } from "../../sys/stat.ts";
import type { Command } from "../framework/command.ts";
import { type Candidate, complete, countGlobals, fitting, type Wanted } from "../framework/complete.ts";
import { GLOBAL_OPTIONS } from "../framework/global-options.ts";
import { loadCommands } from "../framework/verbs.ts";

/**
 * Prints completions of a command line for the scripts of `completion`. The first line is `words`, `files` or
 * `directories`; after `words` each line is a word, a tab and a description.
 */
export const command: Command = {
  name: "internal complete",
  outside: true,
  summary: "Complete a command line",
  operands: [],
  options: [],
  rest: "WORD...",
  async run(context, input) {
    const words = input.rest ?? [""];
    const answer = complete(words, await loadCommands(), GLOBAL_OPTIONS);
    const store = { ...context.settings.store, ...storeOption(words) };
    for (const line of lines(answer, store)) context.out(line);
  },
};

/** The value of --root among the words before the command. */
function storeOption(words: readonly string[]): { root?: string } {
  const globals = words.slice(0, countGlobals(words, GLOBAL_OPTIONS));
  const index = globals.findIndex((word) => word === "--root" || word.startsWith("--root="));
  const root = index < 0 ? undefined : (globals[index]?.split("=", 2)[1] ?? globals[index + 1]);
  return root?.startsWith("/") ? { root } : {};
}

function lines(answer: Wanted, store: Store): string[] {
  switch (answer.kind) {
    case "file":
      return ["files"];
    case "directory":
      return ["directories"];
    case "words":
      return print(answer.candidates);
    case "base":
      return print(known(() => bases(store, answer.begun), answer));
    case "instance":
      return print(known(() => listInstances(store).map((value) => ({ value })), answer));
    case "container":
      return print(known(() => bundleIds(store).map((value) => ({ value })), answer));
    case "output":
      return print(known(() => outputIds(store).map((value) => ({ value })), answer));
    case "runtime":
      return print(known(() => ["runc", "crun"].map((value) => ({ value })), answer));
    case "user":
      return print(known(users, answer));
    case "lxc":
      return print(known(() => list(lxcPath("/etc")).map((value) => ({ value })), answer));
  }
}

/** The users of passwd(5), without root. */
function users(): Candidate[] {
  const lines = (readText("/etc/passwd") ?? "").split("\n").map((line) => line.split(":"));
  return lines.flatMap(([value = "", , uid]) => (value === "" || uid === "0" ? [] : [{ value }]));
}

/** The candidates that fit; none when the store cannot be read, for example by a user without root. */
function known(list: () => Candidate[], answer: { prefix: string; begun: string }): readonly Candidate[] {
  try {
    const candidates = list().map(({ value, help }) => ({
      value: answer.prefix + value,
      ...(help !== undefined && { help }),
    }));
    const fit = fitting(candidates, answer.prefix + answer.begun);
    return fit.kind === "words" ? fit.candidates : [];
  } catch {
    return [];
  }
}

/** The names of bases; after an @, the versions of the base before it. */
function bases(store: Store, begun: string): Candidate[] {
  const at = begun.indexOf("@");
  if (at < 0) return namesOfBases(store).map((value) => ({ value }));
  const name = begun.slice(0, at);
  if (!namesOfBases(store).includes(name)) return [];
  const holder = storeOfBase(store, name);
  const current = readBaseFile(holder, name)?.current;
  return listVersions(holder, name).map((version) => ({
    value: `${name}@${version}`,
    ...(version === current && { help: "current" }),
  }));
}

function print(candidates: readonly Candidate[]): string[] {
  return [
    "words",
    ...candidates.map(({ value, help }) => (help === undefined ? value : `${value}\t${help}`)),
  ];
}
