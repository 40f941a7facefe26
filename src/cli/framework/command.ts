/** What a verb is: data for help and completion, and the function that runs it. */
import type { Settings } from "../../request/config.ts";

/** What the shell can complete a word to. */
export type Completion =
  | "base"
  | "instance"
  | "container"
  | "output"
  | "file"
  | "directory"
  | "runtime"
  | "engine"
  | "lxc"
  | readonly string[];

export interface Option {
  /** `--name` */
  readonly name: string;
  /** `-n` */
  readonly short?: string;
  /** name of the value in help; absent: a flag */
  readonly value?: string;
  readonly help: string;
  readonly complete?: Completion;
}

export interface Operand {
  /** as help shows it: `NAME[@V]` */
  readonly name: string;
  readonly optional?: boolean;
  readonly repeated?: boolean;
  readonly complete?: Completion;
}

export interface Command {
  /** as typed: `base import` */
  readonly name: string;
  /** one line, imperative, without a full stop */
  readonly summary: string;
  readonly operands: readonly Operand[];
  readonly options: readonly Option[];
  /** paragraphs below the usage */
  readonly description?: string;
  /** a user without root needs no user namespace for it: it touches no upper, and mounts nothing */
  readonly outside?: boolean;
  /** a process in whose user namespace a user without root must run it; none: in a new one */
  readonly joins?: (context: Context, input: Input) => number | undefined;
  /** it can make another version of a base the current one: users that the base is shared with get that */
  readonly publishes?: boolean;
  /** it changes bases, instances or what runs on them: a line in the log says how it ended */
  readonly changes?: boolean;
  /** words after `--` are a command: its name in help */
  readonly rest?: string;
  /** whether the small program leaves a call of this verb to the large one */
  readonly large?: (input: Input) => boolean;
  /** lines with a command and what it does */
  readonly examples?: readonly string[];
  /** Returns the exit status, 0 when it returns nothing. Throws UsageError, VeneerError or SysError. */
  run(
    context: Context,
    input: Input,
  ): Promise<number | undefined> | number | undefined | Promise<void> | void;
}

/** What the command line said. */
export interface Input {
  readonly operands: readonly string[];
  /** words after `--`; undefined when there is no `--` */
  readonly rest: readonly string[] | undefined;
  /** whether a flag was given */
  has(name: string): boolean;
  /** the last value of an option */
  value(name: string): string | undefined;
  /** all values of an option, in order */
  values(name: string): readonly string[];
}

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The surroundings of a verb. */
export interface Context {
  readonly settings: Settings;
  /** where a setting comes from that neither the configuration file nor a default gave: `--root`, `VENEER_ROOT` */
  readonly origins: Readonly<Record<string, string>>;
  /** path of the configuration file, which may be absent */
  readonly configFile: string;
  /** the same for programs that we start; empty: they find it by themselves, or there is none */
  readonly handedConfig: string;
  /** the directory for records is the one that it is by itself */
  readonly defaultRun: boolean;
  /** the user without root for whom the command runs; absent: root */
  readonly user?: number | undefined;
  readonly env: Environment;
  /** data */
  readonly out: (line: string) => void;
  /** messages */
  readonly note: (line: string) => void;
  /** stderr is a terminal: progress may be drawn there */
  readonly progress: boolean;
}
