/** Completes a command line from the descriptions of the commands. Pure. */
import type { Command, Completion, Operand, Option } from "./command.ts";

export interface Candidate {
  readonly value: string;
  readonly help?: string;
}

/** The words that fit, or the kind of word when only the store or the shell knows them. */
export type Wanted =
  | { readonly kind: "words"; readonly candidates: readonly Candidate[] }
  | {
      readonly kind: Exclude<Completion, readonly string[]>;
      /** what precedes the value in the same word: `--base=` */
      readonly prefix: string;
      /** the part of the value that was typed */
      readonly begun: string;
    };

interface Described {
  readonly name: string;
  readonly short?: string;
  readonly value?: string;
  readonly help: string;
  readonly complete?: Completion;
}

const NOTHING: Wanted = { kind: "words", candidates: [] };

/** Counts the words before the command: global options and their values. */
export function countGlobals(words: readonly string[], globals: readonly Described[]): number {
  let index = 0;
  while (words[index]?.startsWith("-")) {
    const word = words[index] as string;
    index += takesNext(globals, word) ? 2 : 1;
  }
  return index;
}

/**
 * Returns what can stand in place of the last word. `words` are those after the program's name; the last one is being
 * typed and is empty after a space. `commands` are all commands, in the order of help.
 */
export function complete(
  words: readonly string[],
  commands: readonly Command[],
  globals: readonly Described[],
): Wanted {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const start = countGlobals(before, globals);
  if (start > before.length) return optionValue(findOption(globals, before.at(-1) ?? ""), "", current);
  const typed = before.slice(start);
  if (typed.length === 0) {
    if (current.startsWith("-")) return options(current, globals);
    return fitting(firstWords(commands), current);
  }
  if (typed[0] === "help") return secondWords(typed.slice(1), commands, current);
  const command = findCommand(typed, commands);
  if (!command) return secondWords(typed, commands, current);
  return insideCommand(command, typed.slice(command.name.split(" ").length), current);
}

function findCommand(typed: readonly string[], commands: readonly Command[]): Command | undefined {
  for (const length of [2, 1]) {
    const name = typed.slice(0, length).join(" ");
    const found = commands.find((command) => command.name === name);
    if (found) return found;
  }
  return undefined;
}

/** The possible first words; `base` occurs once for all its commands. */
function firstWords(commands: readonly Command[]): Candidate[] {
  const found = new Map<string, Candidate>([["help", { value: "help", help: "Print help for a command" }]]);
  for (const { name, summary } of commands) {
    const [first = "", second] = name.split(" ");
    if (second === undefined) found.set(first, { value: first, help: summary });
    else if (!found.has(first)) found.set(first, { value: first });
  }
  return [...found.values()];
}

/** The possible second words after a first word such as `base`. `help` takes the words of any command. */
function secondWords(typed: readonly string[], commands: readonly Command[], current: string): Wanted {
  if (typed.length === 0) return fitting(firstWords(commands), current);
  if (typed.length > 1) return NOTHING;
  const prefix = `${typed[0]} `;
  const those = commands.filter(({ name }) => name.startsWith(prefix));
  return fitting(
    those.map(({ name, summary }) => ({ value: name.slice(prefix.length), help: summary })),
    current,
  );
}

function insideCommand(command: Command, typed: readonly string[], current: string): Wanted {
  const known: Described[] = [...command.options, { name: "--help", short: "-h", help: "show help" }];
  let operands = 0;
  for (let index = 0; index < typed.length; index++) {
    const word = typed[index] as string;
    if (word === "--") return { kind: "file", prefix: "", begun: current };
    if (!word.startsWith("-") || word === "-") operands++;
    else if (takesNext(known, word)) {
      if (index === typed.length - 1) return optionValue(findOption(known, word), "", current);
      index++;
    }
  }
  const equals = current.indexOf("=");
  if (current.startsWith("--") && equals > 0) {
    const option = findOption(known, current.slice(0, equals));
    return optionValue(option, current.slice(0, equals + 1), current.slice(equals + 1));
  }
  if (current.startsWith("-")) {
    const rest = command.rest === undefined ? [] : [{ name: "--", help: "a command follows" }];
    return options(current, [...known, ...rest]);
  }
  const operand: Operand | undefined =
    command.operands[operands] ?? (command.operands.at(-1)?.repeated ? command.operands.at(-1) : undefined);
  return operand?.complete === undefined ? NOTHING : wanted(operand.complete, "", current);
}

function findOption(known: readonly Described[], word: string): Described | undefined {
  return known.find(({ name, short }) => name === word || short === word);
}

/** Whether the word is an option that takes the next word as its value. */
function takesNext(known: readonly Described[], word: string): boolean {
  return findOption(known, word)?.value !== undefined;
}

function optionValue(option: Described | undefined, prefix: string, begun: string): Wanted {
  return option?.complete === undefined ? NOTHING : wanted(option.complete, prefix, begun);
}

function wanted(complete: Completion, prefix: string, begun: string): Wanted {
  if (typeof complete === "string") return { kind: complete, prefix, begun };
  return fitting(
    complete.map((value) => ({ value: prefix + value })),
    prefix + begun,
  );
}

function options(current: string, known: readonly (Option | Described)[]): Wanted {
  const candidates = known.flatMap(({ name, short, help }) => {
    const long = { value: name, help };
    return short !== undefined && !current.startsWith("--") ? [long, { value: short, help }] : [long];
  });
  return fitting(candidates, current);
}

/** Keeps the candidates that begin with `begun`. */
export function fitting(candidates: readonly Candidate[], begun: string): Wanted {
  return { kind: "words", candidates: candidates.filter(({ value }) => value.startsWith(begun)) };
}
