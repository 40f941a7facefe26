/** Makes manual pages (man(7)) from the descriptions of the commands. */
import type { Command } from "./command.ts";
import { GLOBAL_OPTIONS } from "./global-options.ts";
import { HELP, usage } from "./parse.ts";

/** Escapes what roff would interpret: backslashes, and dots and quotes at the beginning of a line. */
function escapeRoff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}

function header(name: string, section: number, version: string): string {
  return `.TH ${name.toUpperCase()} ${section} "" "veneer ${version}" "veneer"`;
}

/** Formats paragraphs; those with indented lines (lists, tables) keep their lines. */
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

/** The name of the page of a command: `veneer-base-import` for `base import`. */
export function pageName(command: Command): string {
  return `veneer-${command.name.replaceAll(" ", "-")}`;
}

/** The manual page of one command. */
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

/** The page veneer(1): the groups of commands, and the options before the command. */
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

/** The page veneer-runc(1), which is also veneer-crun(1). */
export function runtimePage(version: string): string {
  const lines = [
    header("veneer-runc", 1, version),
    ".SH NAME",
    "veneer\\-runc, veneer\\-crun \\- runc and crun, for containers on a base",
    ".SH SYNOPSIS",
    "\\fBveneer\\-runc\\fR [RUNC'S OPTIONS] COMMAND [ARGUMENTS]",
    ".SH DESCRIPTION",
    ...paragraphs(`Stands where an engine calls its runtime. create, run, restore and checkpoint of a container on a base prepare its root in a mount
namespace of their own, then the real runtime is executed with the same arguments. Every other call goes to it at once.

A container names its base by an annotation in config.json. One that names none is the real runtime's alone. One that
names a base starts on it or not at all.

The real runtime is the one that "runtimes" in /etc/veneer/config.json names, else the first runc (crun) on PATH that is
not veneer. No variable of the environment but PATH has an effect.`),
    ".SH ANNOTATIONS",
    ...tagged([
      ["run.veneer.base", "NAME or NAME@VERSION: the base that the container's root stands on"],
      [
        "run.veneer.instance",
        "the writable upper to use, which outlasts the container; made where it is missing",
      ],
      ["run.veneer.upper", "ephemeral (default), or persistent: an instance of the container's own name"],
      ["run.veneer.tmpfs", "keep the writes in memory, at most SIZE"],
      [
        "run.veneer.opaque",
        "directories that start empty, separated by commas, or none; default /tmp and /root",
      ],
      ["run.veneer.mask", "files to hide, separated by commas; the last part may hold * and ?"],
      ["run.veneer.rootfs", "replace (default), or layer: the image's own tree above the base"],
      [
        "run.veneer.shifted-copy",
        "true: where the kernel cannot idmap the base, copy it once for the container's ids",
      ],
    ]),
    ".SH EXIT STATUS",
    "That of the real runtime; 1 when the root could not be prepared, with a line on stderr and in the runtime's log.",
    ".SH SEE ALSO",
    "\\fBveneer\\fR(1), runc(8), crun(1)",
  ];
  return `${lines.join("\n")}\n`;
}
