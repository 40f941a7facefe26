/** /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
import { readText } from "./fd.ts";

export interface MountEntry {
  readonly id: number;
  readonly parent: number;
  /** `major:minor` */
  readonly device: string;
  /** the directory of the file system that is the root of this mount */
  readonly root: string;
  readonly target: string;
  readonly options: string;
  /** optional fields: `shared:1`, `master:2`, … */
  readonly propagation: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: string;
}

const NONE: readonly string[] = [];
const MOUNTINFO_LIMIT = 64 * 1024 * 1024;

/** Decodes the octal escapes for space, tab, newline, backslash and `#`. */
function unescapeField(field: string): string {
  return field.includes("\\")
    ? field.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
    : field;
}

/** Parses a line of mountinfo; undefined when it does not have the documented form. */
export function parseMountLine(line: string): MountEntry | undefined {
  const fields = line.split(" ");
  const separator = fields.indexOf("-", 6);
  if (separator < 0 || fields.length < separator + 4) return undefined;
  // the fast path: a start parses dozens of lines, and hardly any has escapes or optional fields
  const decode = line.indexOf("\\") < 0 ? String : unescapeField;
  return {
    id: Number(fields[0]),
    parent: Number(fields[1]),
    device: fields[2] as string,
    root: decode(fields[3] as string),
    target: decode(fields[4] as string),
    options: fields[5] as string,
    propagation: separator === 6 ? NONE : fields.slice(6, separator),
    type: fields[separator + 1] as string,
    source: decode(fields[separator + 2] as string),
    superOptions:
      fields.length === separator + 4
        ? (fields[separator + 3] as string)
        : fields.slice(separator + 3).join(" "),
  };
}

/** The upperdir in an overlay's options, as it was given at mount time; undefined where there is none. */
export function upperOf(superOptions: string): string | undefined {
  const option = superOptions.split(",").find((one) => one.startsWith("upperdir="));
  return option === undefined ? undefined : unescapeField(option.slice("upperdir=".length));
}

export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const entry = parseMountLine(line);
    if (entry) entries.push(entry);
  }
  return entries;
}

/** The mount with that id in a mount table. Parses only the line of that mount. */
export function findMount(table: string, id: number): MountEntry | undefined {
  const start = table.startsWith(`${id} `) ? 0 : table.indexOf(`\n${id} `) + 1;
  return start > 0 || table.startsWith(`${id} `) ? parseLineAt(table, start) : undefined;
}

/** The mounts whose parent is the mount with that id, in the order in which they were mounted. */
export function findChildren(table: string, parent: number): MountEntry[] {
  const field = ` ${parent} `;
  const children: MountEntry[] = [];
  for (let at = table.indexOf(field); at >= 0; at = table.indexOf(field, at + 1)) {
    const start = table.lastIndexOf("\n", at) + 1;
    // it is the second field when only one field precedes it
    if (table.lastIndexOf(" ", at - 1) >= start) continue;
    const entry = parseLineAt(table, start);
    if (entry) children.push(entry);
  }
  return children;
}

function parseLineAt(table: string, start: number): MountEntry | undefined {
  const end = table.indexOf("\n", start);
  return parseMountLine(end < 0 ? table.slice(start) : table.slice(start, end));
}

/** The text of a process's mountinfo; undefined when the process is gone. */
export function readMountinfo(pid: number | "self" | "thread-self"): string | undefined {
  return readText(`/proc/${pid}/mountinfo`, undefined, MOUNTINFO_LIMIT);
}
