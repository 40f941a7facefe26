/**
 * Starts programs from the large program. The build of the small program replaces this file with quickjs/spawn.ts,
 * which exports the same and forks.
 */
import { constants } from "node:os";
import { MINIMAL_ENVIRONMENT, MINIMAL_PATH, TIMED_OUT } from "./environment.ts";
import { readlink } from "./fd.ts";
import { identify } from "./process.ts";
import { sleep } from "./self.ts";
import { lstatMaybe } from "./stat.ts";

/** Starts a program in a session of its own, in `/`, without input and output. Throws when it cannot be started. */
export function startDetached(argv: readonly string[]): void {
  const env = { PATH: MINIMAL_PATH };
  Bun.spawn([...argv], { cwd: "/", env, stdio: ["ignore", "ignore", "ignore"], detached: true }).unref();
}

export interface Ended {
  /** as in a shell: 128 plus the number of the signal that ended it, or 127 when it could not be started */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of {@link runToEnd}. `env` has NAME=VALUE entries; absent: MINIMAL_ENVIRONMENT. */
export interface RunOptions {
  readonly env?: readonly string[];
  /** milliseconds after which it is killed, with the status TIMED_OUT */
  readonly limit?: number;
}

/** Runs a program to its end, in `/`, without input. Returns its status and output. */
export function runToEnd(argv: readonly string[], options: RunOptions = {}): Ended {
  const variables = options.env ?? MINIMAL_ENVIRONMENT;
  const env = Object.fromEntries(variables.map((text) => text.split(/=(.*)/s, 2)));
  try {
    const child = Bun.spawnSync([...argv], {
      cwd: "/",
      env,
      stdio: ["ignore", "pipe", "pipe"],
      ...(options.limit !== undefined && { timeout: options.limit, killSignal: "SIGKILL" as const }),
    });
    const { stdout, stderr, exitCode, signalCode, exitedDueToTimeout } = child;
    const ended = signalCode ? 128 + (constants.signals[signalCode as NodeJS.Signals] ?? 0) : exitCode;
    return {
      status: exitedDueToTimeout ? TIMED_OUT : ended,
      stdout: stdout.toString(),
      stderr: stderr.toString(),
    };
  } catch (error) {
    return { status: 127, stdout: "", stderr: String(error) };
  }
}

/** Starts a program in `/` with these descriptors as input and output. Disposal kills it without waiting. */
export function startBetween(argv: readonly string[], input: number, output: number): Disposable {
  const env = { PATH: MINIMAL_PATH };
  const child = Bun.spawn([...argv], { cwd: "/", env, stdio: [input, output, "ignore"] });
  return {
    [Symbol.dispose]() {
      child.kill("SIGKILL");
      child.unref();
    },
  };
}

/** A process in a new user namespace without maps; disposal ends it. */
export interface NamespaceHolder extends Disposable {
  readonly pid: number;
}

/** Milliseconds that a small program may take to start. */
const START_TIME = 10_000;

/**
 * Creates a user namespace; undefined where that is not allowed. A thread cannot return from a user namespace, and Bun
 * cannot fork, so unshare(1) creates it and `cat` waits in it.
 */
export function holdNewUserNamespace(): NamespaceHolder | undefined {
  const program = ["/usr/bin/unshare", "/bin/unshare"].find((path) => lstatMaybe(path));
  if (program === undefined) return undefined;
  const child = Bun.spawn([program, "--user", "--", "/bin/cat"], {
    cwd: "/",
    env: { PATH: MINIMAL_PATH },
    stdio: ["pipe", "ignore", "ignore"],
  });
  const { pid } = child;
  const end = () => {
    child.kill("SIGKILL");
    child.unref();
  };
  try {
    const own = readlink("/proc/self/ns/user");
    for (const limit = Date.now() + START_TIME; ; sleep(0.2)) {
      const now = readlink(`/proc/${pid}/ns/user`);
      if (now !== undefined && now !== own) return { pid, [Symbol.dispose]: end };
      if (identify(pid) && Date.now() < limit) continue;
      end();
      return undefined;
    }
  } catch (error) {
    // Bun waits for it
    end();
    throw error;
  }
}
