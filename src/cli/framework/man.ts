/** Manual pages, man(7), made from the descriptions of the commands. */
import type { Command } from "./command.ts";
import { GLOBAL_OPTIONS } from "./global-options.ts";
import { HELP, usage } from "./parse.ts";

/** Text as it is: backslashes, and dots and quotes at the beginning of a line, mean something to roff. */
function escapeRoff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}

function header(name: string, section: number, version: string): string {
  return `.TH ${name.toUpperCase()} ${section} "" "veneer ${version}" "veneer"`;
}

/** Filled paragraphs; one with indented lines (a list, a table) keeps its lines as they stand. */
function paragraphs(text: string): string[] {
  return text
    .trim()
    .split(/\n{2,}/)
    .flatMap((paragraph) =>
      /^ /m.test(paragraph) ? [".PP", ".nf", escapeRoff(paragraph), ".fi"] : [".PP", escapeRoff(paragraph)],
    );
}

function literal(lines: readonly string[]): string[] {
  return [".nf", escapeRoff(lines.join("\n")), ".fi"];
}

function tagged(rows: readonly (readonly [string, string])[]): string[] {
  return rows.flatMap(([term, text]) => [".TP", `\\fB${escapeRoff(term)}\\fR`, escapeRoff(text)]);
}

/** veneer-base-import(1) for `base import`. */
export function pageName(command: Command): string {
  return `veneer-${command.name.replaceAll(" ", "-")}`;
}

/** The page of one command. */
export function commandPage(command: Command, version: string): string {
  const options = [...command.options, HELP].map(({ name, short, value, help }): [string, string] => [
    `${short === undefined ? "" : `${short}, `}${name}${value === undefined ? "" : ` ${value}`}`,
    help,
  ]);
  const lines = [
    header(pageName(command), 1, version),
    ".SH NAME",
    `${pageName(command)} \\- ${escapeRoff(command.summary)}`,
    ".SH SYNOPSIS",
    `\\fBveneer\\fR ${escapeRoff(usage(command))}`,
  ];
  if (command.description !== undefined) lines.push(".SH DESCRIPTION", ...paragraphs(command.description));
  lines.push(".SH OPTIONS", ...tagged(options));
  if (command.examples) lines.push(".SH EXAMPLES", ...literal(command.examples));
  lines.push(".SH EXIT STATUS", "0 done, 1 failed, 2 wrong usage.", ".SH SEE ALSO", "\\fBveneer\\fR(1)");
  return `${lines.join("\n")}\n`;
}

/** veneer(1): the groups of commands and the options before them. */
export function generalPage(
  groups: readonly { readonly title: string; readonly commands: readonly Command[] }[],
  version: string,
): string {
  const lines = [
    header("veneer", 1, version),
    ".SH NAME",
    "veneer \\- container root filesystems as OverlayFS over a shared, versioned, read\\-only base",
    ".SH SYNOPSIS",
    "\\fBveneer\\fR [\\-\\-root DIR] [\\-\\-run DIR] [\\-\\-config FILE] [\\-\\-debug] COMMAND",
  ];
  for (const { title, commands } of groups) {
    lines.push(`.SH ${title.toUpperCase()}`);
    lines.push(
      ...tagged(
        commands.map((command) => [
          `veneer ${command.name}`,
          `${command.summary}. See ${pageName(command)}(1).`,
        ]),
      ),
    );
  }
  const options = GLOBAL_OPTIONS.map((option): [string, string] => [
    "value" in option ? `${option.name} ${option.value}` : option.name,
    option.help,
  ]);
  lines.push(".SH OPTIONS", ...tagged(options), ".SH FILES");
  lines.push(
    ...tagged([
      ["/etc/veneer/config.json", "configuration; may be absent"],
      ["/var/lib/veneer", "the store: bases, layers, instances"],
      ["/run/veneer", "records of running things"],
    ]),
  );
  lines.push(".SH SEE ALSO", "runc(8), crun(1), lxc.container.conf(5), mount(8)");
  return `${lines.join("\n")}\n`;
}
