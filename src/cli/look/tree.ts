import { formatError } from "../../errors.ts";
import { baseTree, type TreeBase, type TreeUser, type TreeVersion } from "../../inventory/tree.ts";
import { formatBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { JSON_OPTION, shorten } from "../framework/table.ts";

export const command: Command = {
  name: "tree",
  summary: "Show bases, their versions, the instances on them and what runs, as a tree",
  operands: [],
  options: [JSON_OPTION, { name: "--dot", help: "print a graph for dot(1)" }],
  description: `Newest versions first; * marks the current one. A base built on another names it.`,
  examples: ["veneer tree", "veneer tree --dot | dot -Tsvg >fleet.svg"],
  run(context, input) {
    const problems: string[] = [];
    const bases = baseTree(context.settings.store, (base, error) =>
      problems.push(`base ${base}: ${formatError(error)}`),
    );
    if (input.has("--json")) context.out(JSON.stringify(bases, undefined, 2));
    else for (const line of input.has("--dot") ? dotLines(bases) : treeLines(bases)) context.out(line);
    for (const problem of problems) context.note(`veneer: ${problem}`);
    return problems.length > 0 ? 1 : 0;
  },
};

function* treeLines(bases: readonly TreeBase[]): Generator<string> {
  for (const { base, from, versions } of bases) {
    yield `${base}${from ? `  (on ${formatBaseRef(from)})` : ""}`;
    for (const [index, version] of versions.entries()) {
      const last = index === versions.length - 1;
      yield `${last ? "└─" : "├─"} ${versionText(version)}`;
      for (const [at, user] of version.users.entries()) {
        yield `${last ? "   " : "│  "}${at === version.users.length - 1 ? "└─" : "├─"} ${userText(user)}`;
      }
    }
  }
}

function versionText({ version, current, failed, created, origin }: TreeVersion): string {
  const marks = `${current ? "*" : " "}${version}${failed ? " (failed its check)" : ""}`;
  return `${marks}  ${created.slice(0, 16).replace("T", " ")}  ${shorten(origin)}`;
}

function userText({ kind, id, state, engine, pid }: TreeUser): string {
  const name = kind === "instance" ? id : `${kind} ${id}`;
  const how = [engine ?? [], pid === undefined ? [] : `process ${pid}`].flat().join(", ");
  return `${name}  ${state}${how === "" ? "" : ` (${how})`}`;
}

const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;

function* dotLines(bases: readonly TreeBase[]): Generator<string> {
  yield "digraph veneer {";
  yield "  rankdir=BT; node [shape=box];";
  for (const { base, from, versions } of bases) {
    const ref = (version: number) => formatBaseRef({ name: base, version });
    for (const { version, current, failed } of versions) {
      const style = failed ? ", style=dashed" : current ? ", style=bold" : "";
      yield `  ${quoted(ref(version))} [shape=folder${style}];`;
    }
    const oldest = versions.at(-1);
    if (from && oldest) yield `  ${quoted(ref(oldest.version))} -> ${quoted(formatBaseRef(from))};`;
    for (const [index, { version, users }] of versions.entries()) {
      const below = versions[index + 1];
      if (below) yield `  ${quoted(ref(version))} -> ${quoted(ref(below.version))};`;
      for (const { kind, id, state } of users) {
        const node = quoted(`${kind} ${id}`);
        yield `  ${node} [label=${quoted(`${id}\\n${state}`).replace("\\\\n", "\\n")}];`;
        yield `  ${node} -> ${quoted(ref(version))};`;
      }
    }
  }
  yield "}";
}
