import { diffInstance } from "../../instances/diff.ts";
import { printablePath } from "../../text/file-names.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "diff",
  summary: "List what an instance changed",
  description: `
One line for each path: A added, C changed, D deleted. A directory in which something changed counts as changed; of a
deleted directory only the directory itself is listed. Directories that the instance started empty and files that it masks
are no changes. Control characters, backslashes and bytes that are not UTF-8 are written as \\xNN and
\\\\.`,
  operands: [{ name: "ID", complete: "instance" }],
  options: [JSON_OPTION],
  run(context, input) {
    const changes = diffInstance(context.settings.store, checkName("instance", input.operands[0] ?? ""));
    if (input.has("--json")) context.out(JSON.stringify(changes, undefined, 2));
    else for (const { kind, path } of changes) context.out(`${kind} ${printablePath(path)}`);
  },
};
