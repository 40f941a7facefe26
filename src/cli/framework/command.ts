/** What defines a command: data for help and completion, and the function that runs it. */
import type { Settings } from "../../request/config.ts";

/** The kinds of words that the shell can complete. */
export type Completion =
  | "base"
  | "instance"
  | "container"
  | "output"
  | "file"
  | "directory"
  | "runtime"
  | "user"
  | "lxc"
  | readonly string[];

export interface Option {
  /** `--name` */
  readonly name: string;
  /** `-n` */
  readonly short?: string;
  /** an earlier `--name`, which help and completion leave out */
  readonly synonym?: string;
  /** name of the value in help; absent: a flag */
  readonly value?: string;
  readonly help: string;
  readonly complete?: Completion;
}

export interface Operand {
  /** as shown in help: `NAME[@V]` */
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
  /** a user without root runs it outside of a user namespace: it neither touches uppers nor mounts anything */
  readonly outside?: boolean;
  /** returns the process whose user namespace a user without root must join for it; undefined: a new namespace */
  readonly joins?: (context: Context, input: Input) => number | undefined;
  /** it can change the current version of a base, so shares with users are updated afterwards */
  readonly publishes?: boolean;
  /** it changes bases, instances or what runs on them, so the event log gets a line with its result */
  readonly changes?: boolean;
  /** what help calls the command after `--`; absent: it takes none */
  readonly rest?: string;
  /** whether the small program leaves this call to the large one */
  readonly large?: (input: Input) => boolean;
  /** lines with a command and what it does */
  readonly examples?: readonly string[];
  /** Returns the exit status; undefined means 0. Throws UsageError, VeneerError or SysError. */
  run(
    context: Context,
    input: Input,
  ): Promise<number | undefined> | number | undefined | Promise<void> | void;
}

/** The parsed command line. */
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

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What a command gets from its caller. */
export interface Context {
  readonly settings: Settings;
  /** the origins of settings that come from neither the configuration file nor a default: `--root`, `VENEER_ROOT` */
  readonly origins: Readonly<Record<string, string>>;
  /** path of the configuration file, which need not exist */
  readonly configFile: string;
  /** the same for programs that we start; empty: they find it without help, or it does not exist */
  readonly handedConfig: string;
  /** whether the directory for records is the default */
  readonly defaultRun: boolean;
  /** uid of the user without root for whom the command runs; absent: root */
  readonly user?: number | undefined;
  readonly env: Environment;
  /** prints a line of data to standard output */
  readonly out: (line: string) => void;
  /** prints a message to standard error */
  readonly note: (line: string) => void;
  /** whether progress may be drawn, because stderr is a terminal */
  readonly progress: boolean;
}
