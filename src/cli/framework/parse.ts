/** Parses words into options and operands, by the description of a command. */
import { UsageError } from "../../errors.ts";
import { Arguments } from "../../request/arguments.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Input, Option } from "./command.ts";

/** An option of every command. */
export const HELP: Option = { name: "--help", short: "-h", help: "show this text" };

/** Parses the words after the command. `help` is true when --help is one of them. Throws UsageError. */
export function parseInput(command: Command, words: readonly string[]): { input: Input; help: boolean } {
  const operands: string[] = [];
  const values = new Map<string, string[]>();
  let rest: string[] | undefined;
  const args = new Arguments(words);
  for (let word = args.next(); word !== undefined; word = args.next()) {
    if (word === "--") {
      rest = args.rest();
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      operands.push(word);
      continue;
    }
    const option = findOption(command, word);
    const value = option.value === undefined ? "" : args.value(word);
    values.set(option.name, [...(values.get(option.name) ?? []), value]);
  }
  const input: Input = {
    operands,
    rest,
    has: (name) => values.has(name),
    value: (name) => values.get(name)?.at(-1),
    values: (name) => values.get(name) ?? [],
  };
  const help = values.has(HELP.name);
  if (!help) checkOperands(command, input);
  return { input, help };
}

function findOption(command: Command, word: string): Option {
  const option = [...command.options, HELP].find(({ name, short, synonym }) =>
    [name, short, synonym].includes(word),
  );
  if (option) return option;
  throw new UsageError(
    `unknown option ${quote(word)} of veneer ${command.name}`,
    `'veneer ${command.name} --help' lists them`,
  );
}

function checkOperands(command: Command, input: Input): void {
  const required = command.operands.filter((operand) => !operand.optional).length;
  const most = command.operands.some((operand) => operand.repeated)
    ? Number.POSITIVE_INFINITY
    : command.operands.length;
  const hint = `usage: veneer ${usage(command)}`;
  if (input.operands.length < required) {
    const missing = command.operands[input.operands.length]?.name ?? "an operand";
    throw new UsageError(`veneer ${command.name} needs ${missing}`, hint);
  }
  if (input.operands.length > most) {
    throw new UsageError(`veneer ${command.name}: unexpected ${quote(input.operands[most] ?? "")}`, hint);
  }
  if (input.rest !== undefined && command.rest === undefined) {
    throw new UsageError(`veneer ${command.name} takes no command after --`, hint);
  }
}

/** The usage line: `base import NAME SOURCE [--in-place]`. */
export function usage(command: Command): string {
  const operands = command.operands.map(({ name, optional, repeated }) => {
    const text = repeated ? `${name}...` : name;
    return optional ? `[${text}]` : text;
  });
  const options = command.options.map(({ name, short, value }) => {
    const flag = short ?? name;
    return value === undefined ? `[${flag}]` : `[${flag} ${value}]`;
  });
  const rest = command.rest === undefined ? [] : [`[-- ${command.rest}]`];
  return [command.name, ...operands, ...options, ...rest].join(" ");
}
