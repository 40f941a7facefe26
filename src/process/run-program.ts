/** Long work that well-kept programs do: cp, tar, rm, mkfs. Never in the path of a hook. */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { execa } from "execa";
import { VeneerError } from "../errors.ts";
import { explainStore } from "../sys/explain.ts";
import { quote } from "../text/quote.ts";
import { withDeathSignal } from "./death-signal.ts";
import { PROGRAM_PATH, requireProgram } from "./find-program.ts";
import { onInterrupt, throwIfInterrupted } from "./interrupt.ts";

/** All that a program gets: options in the caller's environment (TAR_OPTIONS, …) would change what it does. */
export const PROGRAM_ENVIRONMENT = { PATH: PROGRAM_PATH, LC_ALL: "C" } as const;

export interface ProgramOptions {
  /** default: none */
  readonly stdin?: number | Readable;
  readonly cwd?: string;
  /** statuses that are no failure; default: 0 */
  readonly accept?: readonly number[];
  /** whether a failure that its stderr tells so is none */
  readonly tolerate?: (lines: readonly string[]) => boolean;
  /** beside the minimal environment */
  readonly env?: Readonly<Record<string, string>>;
  /** the group that it runs as, and no other; default: this process's */
  readonly gid?: number;
  /** called with the pid when the program has started: for progress */
  readonly started?: (pid: number) => void;
  /** called with each line that it prints, as it prints it */
  readonly line?: (line: string) => void;
}

/**
 * Runs a program to its end, with a minimal environment; returns what it printed. It dies with this process,
 * and a SIGINT, SIGTERM or SIGHUP ends it and then throws here, so that the caller can clean up. Throws an
 * error with the last lines of its stderr.
 */
export async function runProgram(
  name: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const group = options.gid === undefined ? [] : ["--regid", `${options.gid}`, "--clear-groups"];
  const [file, words] = withDeathSignal("KILL", [requireProgram(name), ...args], group);
  using interrupt = onInterrupt();
  const child = execa(file, words, {
    extendEnv: false,
    env: { ...PROGRAM_ENVIRONMENT, ...options.env },
    reject: false,
    cancelSignal: interrupt.signal,
    buffer: { stdout: true, stderr: true },
    maxBuffer: options.line ? 2 ** 30 : 10_000_000,
    // any descriptor will do, whatever the type says
    stdin:
      options.stdin === undefined
        ? "ignore"
        : typeof options.stdin === "number"
          ? (options.stdin as 0)
          : "pipe",
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  if (child.pid !== undefined) options.started?.(child.pid);
  if (options.line && child.stdout) createInterface(child.stdout).on("line", options.line);
  if (typeof options.stdin === "object" && child.stdin) {
    // a program that stops reading says itself why
    child.stdin.on("error", () => {});
    options.stdin.on("error", (error) => child.stdin?.destroy(error)).pipe(child.stdin);
  }
  const result = await child;
  throwIfInterrupted(interrupt.signal);
  if ((options.accept ?? [0]).includes(result.exitCode ?? -1)) return result.stdout;
  const complaints = result.stderr.split("\n").filter((line) => line.trim() !== "");
  if (result.signal === undefined && options.tolerate?.(complaints)) return result.stdout;
  throw failed(name, result.exitCode, result.signal, result.stderr);
}

/** A program that failed, with the last lines of its stderr. */
export class ProgramError extends VeneerError {
  /** that ended it, where one did: `SIGPIPE` */
  readonly signal: string | undefined;

  constructor(message: string, hint: string | undefined, signal: string | undefined) {
    super("PROGRAM_FAILED", message, { hint });
    this.signal = signal;
  }
}

/** The error for a program that ended so. */
export function failed(
  name: string,
  status: number | undefined,
  signal: string | undefined,
  stderr: string,
): ProgramError {
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const why = [...new Set(lines.map((line) => quoteLine(line.replace(/^\/(usr\/)?bin\//, ""))))]
    .slice(0, 3)
    .join("; ");
  const ended = signal === undefined ? `status ${status}` : signal;
  return new ProgramError(`${name} failed (${ended})${why === "" ? "" : `: ${why}`}`, hint(stderr), signal);
}

/** skopeo's lines are `time="…" level=fatal msg="…"`. */
function withoutLogFrame(line: string): string {
  const message = /^time="[^"]*" level=[a-z]+ msg="(.*)"$/.exec(line)?.[1];
  return (
    message
      ?.replace(/(\\+[nt])+/g, " ")
      .replace(/\\(["\\])/g, "$1")
      .trim() ?? line
  );
}

/** Without the quotes that {@link quote} adds. */
function quoteLine(line: string): string {
  return quote(withoutLogFrame(line.trim())).slice(1, -1).replaceAll("\\'", "'");
}

/** These programs tell the reason in words alone; LC_ALL=C makes them the known ones. */
function hint(stderr: string): string | undefined {
  // tar tells of a short write without its reason
  if (/No space left on device|Wrote only [0-9]+ of/i.test(stderr)) return explainStore("ENOSPC");
  if (/Disk quota exceeded/.test(stderr)) return explainStore("EDQUOT");
  if (/Read-only file system/.test(stderr)) return explainStore("EROFS");
  if (/(change|preserve) ownership .*Invalid argument/.test(stderr))
    return "an owner is beyond the ids that this user has: add ids in /etc/subuid and /etc/subgid, or give every file to root with --squash";
  if (/server gave HTTP response to HTTPS client|x509:/.test(stderr))
    return "--tls-verify=false accepts a registry without a certificate that this machine trusts";
  if (/unauthorized|authentication required|access to the resource is denied/.test(stderr))
    return "'skopeo login HOST' keeps credentials for a registry";
  if (/manifest unknown|name unknown/.test(stderr))
    return "'skopeo list-tags docker://HOST/NAME' lists its tags";
  if (
    /does not look like a tar archive|Unexpected EOF|unexpected end of file|not in gzip format|File format not recognized|premature end/i.test(
      stderr,
    )
  )
    return "the archive is damaged or incomplete, or no tar file: 'tar -tf FILE' shows what is in it";
  return undefined;
}
