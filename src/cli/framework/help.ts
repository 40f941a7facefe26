/** Makes help texts from the descriptions of the commands. */
import type { Command } from "./command.ts";
import { GLOBAL_OPTIONS } from "./global-options.ts";
import { HELP, usage } from "./parse.ts";
import { GROUPS, loadCommands } from "./verbs.ts";

/** Formats two columns; the first is as wide as its widest cell. */
function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd());
}

const WIDTH = 96;

/** Wraps paragraphs at {@link WIDTH} characters; those with an indented line stay as they are. */
export function wrapText(text: string): string {
  return text
    .split(/\n{2,}/)
    .map((paragraph) => (/^\s/m.test(paragraph) ? paragraph : fill(paragraph.split(/\s+/))))
    .join("\n\n");
}

function fill(words: readonly string[]): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= WIDTH)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines.join("\n");
}

/** The help text of one command. */
export function commandHelp(command: Command): string {
  const options = [...command.options, HELP].map(({ name, short, value, help }): [string, string] => [
    `${short === undefined ? "" : `${short}, `}${name}${value === undefined ? "" : ` ${value}`}`,
    help,
  ]);
  const lines = [`Usage: veneer ${usage(command)}`, "", `${command.summary}.`];
  if (command.description !== undefined) lines.push("", wrapText(command.description.trim()));
  lines.push("", "Options:", ...columns(options));
  if (command.examples) lines.push("", "Examples:", ...command.examples.map((line) => `  ${line}`));
  return lines.join("\n");
}

/** The help text for the commands that begin with one word, such as `base`. */
export async function groupHelp(group: string): Promise<string> {
  const commands = (await loadCommands()).filter(({ name }) => name.startsWith(`${group} `));
  const rows = commands.map(({ name, summary }): [string, string] => [name, summary]);
  const lines = [`Usage: veneer ${group} VERB`, "", ...columns(rows)];
  return [...lines, "", `'veneer ${group} VERB --help' tells more of each.`].join("\n");
}

/** The help text of the program: all commands, and the options before the command. */
export async function generalHelp(version: string): Promise<string> {
  const lines = [
    `veneer ${version}: container root filesystems as OverlayFS over a shared, versioned, read-only base`,
    "",
    "Usage: veneer [--root DIR] [--run DIR] [--config FILE] [--debug] COMMAND",
  ];
  for (const { title, verbs } of GROUPS) {
    const commands = await Promise.all(Object.values(verbs).map((load) => load()));
    const rows = commands.map(({ command }): [string, string] => [command.name, command.summary]);
    lines.push("", `${title[0]?.toUpperCase()}${title.slice(1)}:`, ...columns(rows));
  }
  const options = GLOBAL_OPTIONS.map((option): [string, string] => [
    "value" in option ? `${option.name} ${option.value}` : option.name,
    option.help,
  ]);
  lines.push("", "Options before the command:", ...columns(options));
  lines.push(
    "",
    "Hooks, veneer-runc and veneer-crun read no VENEER_… variable of the environment: their store is named by options or",
    "by the configuration.",
  );
  lines.push("", "'veneer COMMAND --help' tells more of each.");
  return lines.join("\n");
}
