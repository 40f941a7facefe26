/**
 * The command line of an OCI runtime, parsed as runc and crun parse theirs. Pure. Words are strings that represent any
 * bytes (text/file-names.ts). They are only read here: the real runtime gets the caller's own words.
 */
import { type Dialect, dialectOf, ENDING, PREPARED, type RuntimeOption } from "./runtime-options.ts";

export interface RuntimeCall {
  readonly command: string;
  readonly id: string;
  /** as given; absent: the working directory */
  readonly bundle?: string;
  /** crun's --config */
  readonly config?: string;
  /** where the runtime keeps its containers' state */
  readonly root?: string;
  /** where the caller expects error messages */
  readonly log?: string;
  readonly logFormat?: string;
}

export type Reading =
  /** a call for which the container must be prepared */
  | { readonly kind: "call"; readonly call: RuntimeCall }
  /** because of an unknown option, the call may be any of these or none */
  | { readonly kind: "unclear"; readonly option: string; readonly calls: readonly RuntimeCall[] }
  /** another command, help, or something that every runtime refuses */
  | { readonly kind: "other" };

const OTHER: Reading = { kind: "other" };

/** Most unknown options in a command line for which both readings are tried, with a value and without. */
const MOST_UNKNOWN = 8;

/** Parses the words after the program's name. */
export function readRuntimeArguments(runtime: string, words: readonly string[]): Reading {
  // the most frequent calls end here: the first word is another command
  const first = words[0];
  if (first === undefined || (!first.startsWith("-") && !PREPARED.has(first))) return OTHER;
  const dialect = dialectOf(runtime);
  const calls: RuntimeCall[] = [];
  const unknown: string[] = [];
  for (const found of readings(dialect, words, unknown)) {
    if (!calls.some((call) => sameCall(call, found))) calls.push(found);
  }
  const [option] = unknown;
  if (unknown.length > MOST_UNKNOWN) return { kind: "unclear", option: option as string, calls };
  const [call] = calls;
  if (!call) return OTHER;
  return calls.length === 1 ? { kind: "call", call } : { kind: "unclear", option: option as string, calls };
}

interface State {
  readonly at: number;
  /** absent: still before the command */
  readonly command?: string;
  readonly operands: readonly string[];
  /** all further words are operands */
  readonly ended?: boolean;
  readonly values: Readonly<Record<string, string>>;
  readonly unknown: number;
}

/** All possible readings of the words: an unknown option may take the next word as its value or not. */
function* readings(dialect: Dialect, words: readonly string[], unknown: string[]): Generator<RuntimeCall> {
  const open: State[] = [{ at: 0, operands: [], values: {}, unknown: 0 }];
  for (let state = open.pop(); state; state = open.pop()) {
    const word = words[state.at];
    if (word === undefined) {
      const call = finish(dialect, state);
      if (call) yield call;
    } else if (state.ended || !isOption(dialect, word)) open.push(...operand(dialect, state, word));
    else if (word === "--") open.push({ ...state, at: state.at + 1, ended: state.command !== undefined });
    else open.push(...option(dialect, state, words, unknown));
  }
}

function isOption(dialect: Dialect, word: string): boolean {
  if (!word.startsWith("-") || word === "-") return false;
  // runc since 1.6 takes `-1` for an operand; earlier versions refuse it
  return dialect.style === "getopt" || /^-(-|[a-zA-Z])/.test(word);
}

function operand(dialect: Dialect, state: State, word: string): State[] {
  const next = { ...state, at: state.at + 1 };
  if (state.command === undefined) return dialect.operands.has(word) ? [{ ...next, command: word }] : [];
  const ended = state.ended || dialect.style === "getopt";
  return [{ ...next, operands: [...state.operands, word], ended }];
}

function finish(dialect: Dialect, { command, operands, values }: State): RuntimeCall | undefined {
  const [id] = operands;
  if (command === undefined || id === undefined) return undefined;
  if (operands.length > (dialect.operands.get(command) as number)) return undefined;
  const { bundle, config, root, log } = values;
  const logFormat = values["log-format"];
  return {
    command,
    id,
    // runc and crun treat an empty value as absent
    ...(bundle && { bundle }),
    ...(config !== undefined && { config }),
    ...(root !== undefined && { root }),
    ...(log !== undefined && { log }),
    ...(logFormat !== undefined && { logFormat }),
  };
}

/** The possible states after an option word; none where every runtime ends there. */
function option(dialect: Dialect, state: State, words: readonly string[], unknown: string[]): State[] {
  const word = words[state.at] as string;
  const { style } = dialect;
  if (style === "getopt" && !word.startsWith("--")) return letters(dialect, state, words, 1, unknown);
  const equals = word.indexOf("=");
  const name = word.slice(0, equals < 0 ? undefined : equals).replace(/^--?/, "");
  const attached = equals < 0 ? undefined : word.slice(equals + 1);
  if (name === "") return [];
  const found = lookUp(dialect, state, name);
  if (found.length === 0) return bothWays(state, words, word, attached !== undefined, unknown);
  // an ambiguous abbreviation is an error in getopt_long(3), but not in every version
  if (found.length > 1 && unknown.length === 0) unknown.push(word);
  return found.flatMap((known) => {
    if (known.value) return take(state, words, known, attached);
    // --help=false is not help; other values of a flag change nothing here
    const off = style === "go" && attached !== undefined && /^(0|f|F|false|FALSE|False)$/.test(attached);
    return ENDING.has(known.name) && !off ? [] : [{ ...state, at: state.at + 1 }];
  });
}

/** Combined short options of getopt: `-db DIR`, `-bDIR`. */
function letters(
  dialect: Dialect,
  state: State,
  words: readonly string[],
  from: number,
  unknown: string[],
): State[] {
  const word = words[state.at] as string;
  for (let index = from; index < word.length; index++) {
    const letter = word[index] as string;
    const rest = word.slice(index + 1) || undefined;
    const known = table(dialect, state).get(letter);
    if (known?.value) return take(state, words, known, rest);
    if (known && ENDING.has(known.name)) return [];
    if (known) continue;
    const taking = bothWays(state, words, `-${letter}`, false, unknown);
    if (rest === undefined || taking.length === 0) return taking;
    // the letter takes the rest of the word, or the rest are letters too
    return [{ ...state, at: state.at + 1 }, ...letters(dialect, state, words, index + 1, unknown)];
  }
  return [{ ...state, at: state.at + 1 }];
}

function table(dialect: Dialect, state: State): ReadonlyMap<string, RuntimeOption> {
  return state.command === undefined ? dialect.global : dialect.command;
}

/** The long options with that name, or beginning with it where getopt_long(3) accepts abbreviations. */
function lookUp(dialect: Dialect, state: State, name: string): RuntimeOption[] {
  const known = table(dialect, state);
  const exact = known.get(name);
  if (dialect.style === "go") return exact ? [exact] : [];
  if (exact && name.length > 1) return [exact];
  return [...known].filter(([key]) => key.length > 1 && key.startsWith(name)).map(([, found]) => found);
}

function take(
  state: State,
  words: readonly string[],
  known: RuntimeOption,
  attached: string | undefined,
): State[] {
  const value = attached ?? words[state.at + 1];
  if (value === undefined) return [];
  const at = state.at + (attached === undefined ? 2 : 1);
  return [{ ...state, at, values: { ...state.values, [known.name]: value } }];
}

function bothWays(
  state: State,
  words: readonly string[],
  word: string,
  attached: boolean,
  unknown: string[],
): State[] {
  const count = state.unknown + 1;
  if (unknown.length < count) unknown.push(word);
  if (count > MOST_UNKNOWN) return [];
  const without = { ...state, at: state.at + 1, unknown: count };
  if (attached || state.at + 1 >= words.length) return [without];
  return [without, { ...without, at: state.at + 2 }];
}

function sameCall(a: RuntimeCall, b: RuntimeCall): boolean {
  return a.command === b.command && a.id === b.id && a.bundle === b.bundle && a.config === b.config;
}
