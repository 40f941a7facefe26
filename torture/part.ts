/** What every part of `npm run torture` gets, and what it reports. */
import { randomNumbers } from "../test/helpers/random-edits.ts";

export interface Setting {
  readonly quick: boolean;
  /** of all that is chosen at random: the same seed chooses the same */
  readonly seed: number;
  /** milliseconds since the epoch after which the part begins nothing new */
  readonly deadline: number;
  /** words that choose cases by their names; none: all */
  readonly match: readonly string[];
  /** one fault alone: CALL:NUMBER:KIND */
  readonly at?: string;
  /** this many of equal shares of all cases, so that some runs together try each */
  readonly share: { readonly index: number; readonly of: number };
  readonly counts: Counts;
}

/** A case that did not hold, with the command that runs it again. */
export interface Fault {
  readonly what: string;
  readonly again: string;
}

/** How often what was tried, and what did not hold. */
export class Counts {
  readonly numbers = new Map<string, number>();
  readonly notes: string[] = [];
  readonly faults: Fault[] = [];

  add(name: string, count = 1): void {
    this.numbers.set(name, (this.numbers.get(name) ?? 0) + count);
  }

  /** Keeps the largest. */
  most(name: string, count: number): void {
    this.numbers.set(name, Math.max(this.numbers.get(name) ?? 0, count));
  }

  note(text: string): void {
    this.notes.push(text);
  }

  fault(what: string, again: string): void {
    this.faults.push({ what, again });
    process.stderr.write(`torture: FAULT: ${what}\n  again: ${again}\n`);
  }
}

/** The command that tries a part again as it was tried. */
export const rerun = ({ quick, seed }: Pick<Setting, "quick" | "seed">, part: string, more = "") =>
  `npm run torture -- ${quick ? "--quick " : ""}--only ${part} --seed ${seed}${more && ` ${more}`}`;

/** Whether what a program said shows an exception of JavaScript, which no message of ours ever does. */
export const isBareException = (said: string) =>
  /internal error|TypeError|ReferenceError|RangeError|\.ts:[0-9]|undefined is not|\[object /.test(said);

export const timeIsUp = ({ deadline }: Pick<Setting, "deadline">) => Date.now() >= deadline;

export const isChosen = ({ match }: Pick<Setting, "match">, name: string) =>
  match.length === 0 || match.some((word) => name.includes(word));

/** Those whose names are among the words; where none is, those that have a word in their names. */
export function chosenOf<T extends { readonly name: string }>(setting: Setting, all: readonly T[]): T[] {
  const named = all.filter(({ name }) => setting.match.includes(name));
  return named.length > 0 ? named : all.filter(({ name }) => isChosen(setting, name));
}

/** The same list in an order that the seed gives. */
export function shuffled<T>(all: readonly T[], seed: number): T[] {
  const random = randomNumbers(seed);
  const list = [...all];
  for (let last = list.length - 1; last > 0; last--) {
    const other = random(last + 1);
    [list[last], list[other]] = [list[other] as T, list[last] as T];
  }
  return list;
}

/** One line of what went wrong. */
export function lineOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s+/g, " ").slice(0, 600);
}
