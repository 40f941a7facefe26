import { inspectContainer, inspectInstance } from "../../inventory/inspect.ts";
import { listRunning, runningNames } from "../../inventory/running.ts";
import { listInstances, noSuchInstance } from "../../store/instances.ts";
import type { Store } from "../../store/paths.ts";
import { checkContainerId, checkName } from "../../text/names.ts";
import { byPrefix } from "../../text/prefix.ts";
import type { Command } from "../framework/command.ts";
import { JSON_OPTION } from "../framework/table.ts";

export const command: Command = {
  name: "inspect",
  summary: "Show everything that is known about an instance",
  description: `
Shows its definition, the paths of its upper and of its base's layers, its generations, and what holds it. ID may also be
a running container without a named instance, or the beginning of either name.`,
  operands: [{ name: "ID", complete: "instance" }],
  options: [JSON_OPTION],
  run(context, input) {
    const { store } = context.settings;
    const given = checkContainerId(input.operands[0] ?? "");
    const exact = inspect(store, given);
    const id = exact ? given : (byPrefix(names(store, given), given) ?? given);
    const all = exact ?? inspect(store, id);
    if (!all) throw noSuchInstance(store, id);
    if (input.has("--json")) context.out(JSON.stringify(all, undefined, 2));
    else for (const line of lines(all, "")) context.out(line);
  },
};

const inspect = (store: Store, id: string) =>
  (isName(id) ? inspectInstance(store, id) : undefined) ?? inspectContainer(store, id);

/** The names of instances, and those of running containers without one. */
function names(store: Store, begun: string): string[] {
  const running = listRunning(store, () => {}).filter(({ record }) => record.instance === undefined);
  return [...listInstances(store), ...runningNames(running, begun)];
}

function isName(id: string): boolean {
  try {
    return checkName("instance", id) === id;
  } catch {
    return false;
  }
}

/** Escapes line breaks: a path from an engine could otherwise imitate another line. */
const oneLine = (item: unknown) => String(item).replaceAll("\n", "\\n");

/** Formats a value as lines `key: value`, nested by indentation. */
function* lines(value: object, indent: string): Generator<string> {
  for (const [key, item] of Object.entries(value)) {
    const label = `${indent}${Array.isArray(value) ? "-" : `${key}:`}`;
    if (item === null || item === undefined) continue;
    if (typeof item !== "object") yield `${label} ${oneLine(item)}`;
    else if (Array.isArray(item) && item.every((part) => typeof part !== "object")) {
      if (item.length > 0) yield label;
      for (const part of item) yield `${indent}  ${oneLine(part)}`;
    } else {
      yield label;
      yield* lines(item, `${indent}  `);
    }
  }
}
