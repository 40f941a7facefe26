/** Runs this program's own verbs, each in a process of its own: they make up a round of updates. */
import { execa } from "execa";
import { ERROR_CODES, type ErrorCode } from "../error-codes.ts";
import { VeneerError } from "../errors.ts";
import { withDeathSignal } from "../process/death-signal.ts";
import { requireProgram } from "../process/find-program.ts";
import { programPath } from "../sys/self.ts";
import { quote } from "../text/quote.ts";

export interface OwnProgram {
  /** options before the verb */
  readonly globals: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stop: AbortSignal;
}

export interface Ended {
  readonly status: number;
  readonly stdout: string;
  /** the last lines of its stderr, on one line */
  readonly said: string;
}

/** Lines of a failed verb that are repeated. */
const LINES = 3;

/** Runs a verb to its end. It ends with this process, by SIGTERM, and when `stop` is aborted. */
export async function runVerb(own: OwnProgram, words: readonly string[]): Promise<Ended> {
  return run(own, [programPath(), ...own.globals, ...words]);
}

/** Like {@link runVerb}; a verb that takes longer than `seconds` is ended, with status 124. */
export async function runLimited(own: OwnProgram, seconds: number, words: readonly string[]): Promise<Ended> {
  const limit = [requireProgram("timeout"), "--kill-after=10", String(seconds)];
  return run(own, [...limit, programPath(), ...own.globals, ...words]);
}

/** Like {@link runVerb}, a command for sh -c with further variables. */
export async function runShell(
  own: OwnProgram,
  command: string,
  about: Readonly<Record<string, string>>,
): Promise<Ended> {
  return run({ ...own, env: { ...own.env, ...about } }, [requireProgram("sh"), "-c", command]);
}

async function run({ env, stop }: OwnProgram, words: readonly string[]): Promise<Ended> {
  const [file, args] = withDeathSignal("TERM", words);
  const result = await execa(file, args, {
    extendEnv: false,
    env,
    reject: false,
    stdin: "ignore",
    cancelSignal: stop,
    // it stops at a point from which the next call continues, however long that takes
    forceKillAfterDelay: false,
    maxBuffer: 100_000_000,
  });
  if (result.exitCode === undefined && result.signal === undefined) {
    throw new VeneerError("NO_PROGRAM", `cannot run ${quote(words[0] ?? "")}`, { cause: result });
  }
  const lines = result.stderr.split("\n").filter((line) => line.trim() !== "");
  const said = lines
    .slice(-LINES)
    .join("; ")
    .replace(/^veneer: /, "");
  return { status: result.exitCode ?? 128, stdout: result.stdout, said };
}

/** The JSON on the last line that a verb printed. Throws with the verb's own message where it failed. */
export function lastJson<T>(what: string, ended: Ended): T {
  expectDone(what, ended);
  return JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "") as T;
}

/** Throws with the verb's own message, hint and code where it failed; VERB_FAILED where it had no code. */
export function expectDone(what: string, { status, said }: Ended): void {
  if (status !== 0)
    throw new VeneerError("VERB_FAILED", what, { cause: asError(said || `status ${status}`) });
}

const MESSAGE = /^(.*?)(?:; hint: (.*))? \[([A-Z_]+)\]$/s;

/** The error of which another process printed the message, so that a frame around it has one hint and one code. */
export function asError(said: string): Error {
  const [, message = said, hint, code = ""] = MESSAGE.exec(said) ?? [];
  return Object.hasOwn(ERROR_CODES, code)
    ? new VeneerError(code as ErrorCode, message, { hint })
    : new Error(said);
}
