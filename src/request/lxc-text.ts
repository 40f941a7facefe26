/** Edits an LXC configuration file (lxc.container.conf(5)); all other lines stay the same, byte for byte. Pure. */

function lines(text: string, key: string): RegExpMatchArray[] {
  const escaped = key.replaceAll(".", "\\.");
  return [...text.matchAll(new RegExp(`^([ \\t]*lxc\\.${escaped}[ \\t]*=[ \\t]*)(.*?)[ \\t]*$`, "gm"))];
}

/** The values of a key, which is given without `lxc.`, in order. */
export function valuesOf(text: string, key: string): string[] {
  return lines(text, key).map((line) => line[2] as string);
}

/** Appends a line to a text, whether or not the text ends with a newline. */
function appendLine(text: string, line: string): string {
  return `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${line}\n`;
}

/** Sets a key of which the last line counts: changes the value of that line, or appends a line. */
export function setValue(text: string, key: string, value: string): string {
  const last = lines(text, key).at(-1);
  if (!last) return appendLine(text, `lxc.${key} = ${value}`);
  if (last[2] === value) return text;
  const at = last.index as number;
  return `${text.slice(0, at)}${last[1]}${value}${text.slice(at + last[0].length)}`;
}

/** The text without the lines of a key for whose value `drop` returns true. */
export function dropLines(text: string, key: string, drop: (value: string) => boolean): string {
  let result = text;
  for (const line of lines(text, key).reverse()) {
    if (!drop(line[2] as string)) continue;
    const start = line.index as number;
    const end = start + line[0].length;
    result = result.slice(0, start) + result.slice(result[end] === "\n" ? end + 1 : end);
  }
  return result;
}

/** Whether a hook's command is ours: `/usr/bin/veneer … hook lxc …`. */
export function isOurHook(command: string): boolean {
  return /(^|\/)veneer'? (.* )?hook lxc( |$)/.test(command);
}

/** Sets our hook of a type: our first existing hook gets the command, and further ones of ours are removed. */
export function setHook(text: string, type: string, command: string): string {
  const key = `hook.${type}`;
  const ours = valuesOf(text, key).filter(isOurHook);
  if (ours.length === 1 && ours[0] === command) return text;
  return appendLine(dropLines(text, key, isOurHook), `lxc.${key} = ${command}`);
}

/** The types of hooks that we use, in the order in which LXC calls them. */
const PLACES = ["clone", "pre-start", "pre-mount", "start-host", "post-stop"] as const;

/**
 * The hooks of a container: `first` mounts its root, `other` is for the rest. `mapped`: it has a user namespace. `copied`:
 * a copy of the container needs a root of its own.
 */
export function setHooks(
  text: string,
  first: string,
  other: string,
  mapped: boolean,
  copied = false,
): string {
  const commands: Readonly<Record<string, string>> = {
    ...(copied && { clone: first }),
    ...(mapped
      ? { "pre-start": first, "start-host": other, "post-stop": other }
      : { "pre-mount": first, "post-stop": other }),
  };
  return PLACES.reduce((all, type) => {
    const command = commands[type];
    return command === undefined ? dropLines(all, `hook.${type}`, isOurHook) : setHook(all, type, command);
  }, text);
}

export function dropHooks(text: string): string {
  return PLACES.reduce((all, type) => dropLines(all, `hook.${type}`, isOurHook), text);
}

/** Changes the values of options in our hooks; hooks without these options stay as they are. */
export function setHookOptions(text: string, values: Readonly<Record<string, string>>): string {
  return PLACES.reduce((all, type) => {
    const key = `hook.${type}`;
    for (const command of valuesOf(all, key).filter(isOurHook)) {
      let next = command;
      for (const [option, value] of Object.entries(values)) {
        next = next.replace(
          new RegExp(`( ${option}) (?:'(?:[^']|'\\\\'')*'|[^ ]+)`),
          (_, name) => `${name} ${shellWord(value)}`,
        );
      }
      if (next !== command)
        all = appendLine(
          dropLines(all, key, (line) => line === command),
          `lxc.${key} = ${next}`,
        );
    }
    return all;
  }, text);
}

/** Quotes a word for the shell to which LXC passes hooks. */
export function shellWord(word: string): string {
  return /^[A-Za-z0-9_+./@=,:-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
