/** Runs the administrator's check of a container or mount that a rollout has moved. */
import { execa } from "execa";
import { withDeathSignal } from "../process/death-signal.ts";
import { requireProgram } from "../process/find-program.ts";
import { failed } from "../process/run-program.ts";
import { TIMED_OUT } from "../sys/environment.ts";

export interface Check {
  /** for sh -c, on the host */
  readonly command: string;
  readonly seconds: number;
  /** its environment besides `VENEER_…`: the caller's own */
  readonly env: NodeJS.ProcessEnv;
}

/** Seconds between the signal that asks a check to end and the one that kills it. */
const GRACE = 2;

/**
 * Runs a check to its end; returns why it failed, undefined when it passed. It ends with this process, and when
 * `stop` is aborted. `about` holds its variables: `VENEER_INSTANCE` and so on.
 */
export async function runCheck(
  { command, seconds, env }: Check,
  about: Readonly<Record<string, string>>,
  stop: AbortSignal,
  what = "check",
): Promise<string | undefined> {
  // timeout gives the command a process group of its own: what the command has started ends with it
  const limit = [requireProgram("timeout"), `--kill-after=${GRACE}`, String(seconds)];
  const [file, args] = withDeathSignal("TERM", [...limit, requireProgram("sh"), "-c", command]);
  const result = await execa(file, args, {
    extendEnv: false,
    env: { ...env, ...about },
    reject: false,
    stdin: "ignore",
    cancelSignal: stop,
    forceKillAfterDelay: (GRACE + 1) * 1000,
    // more output than that is not read
    maxBuffer: 1_000_000,
  });
  if (result.exitCode === 0) return undefined;
  if (stop.aborted) return `interrupted by ${stop.reason}`;
  if (result.exitCode === TIMED_OUT || result.exitCode === 137)
    return `${what} did not end within ${seconds} s`;
  const said =
    result.stderr.trim() === "" ? result.stdout.trim().split("\n").slice(-1).join() : result.stderr;
  return failed(what, result.exitCode, result.signal, said).message;
}
