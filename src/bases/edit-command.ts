/** Runs a command inside an edit session. */
import { constants } from "node:os";
import { execa } from "execa";
import { VeneerError } from "../errors.ts";
import { withDeathSignal } from "../process/death-signal.ts";
import { requireProgram } from "../process/find-program.ts";
import { PROGRAM_ENVIRONMENT } from "../process/run-program.ts";
import type { Store } from "../store/paths.ts";
import { programPath } from "../sys/self.ts";

/** The variables that the command inherits from the caller: what a terminal and a proxy need. */
const PASSED = [
  "TERM",
  "LANG",
  "http_proxy",
  "https_proxy",
  "ftp_proxy",
  "no_proxy",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
];

/** {@link INIT} writes this to descriptor 3 just before the command starts; anything else there is an error message. */
const BEGUN = "begun";

/**
 * Process 1 of the pid namespace. It prepares the root and waits for the command: the command itself must not be
 * process 1, because the kernel ignores signals there that have no handler. When process 1 ends, the kernel kills what
 * is left in the namespace. The soft limit of open files is restored because Bun raises it. HOME is not that of our
 * user.
 */
const INIT = `cd /
why=$(HOME=/ "$1" --root "$2" --run "$3" internal enter-session "$4" 2>&1) || { printf %s "$why" >&3; exit 1; }
n=$5
shift 5
while [ "$n" -gt 0 ]; do export "$1"; shift; n=$((n - 1)); done
ulimit -S -n 1024 2>/dev/null
printf ${BEGUN} >&3
exec 3>&-
"$@"
exit $?`;

/**
 * Runs a command in the editing session of a base. It gets its own mount and pid namespaces, its own /proc, /sys and
 * /dev, the host's network, and the caller's stdin, stdout and stderr. `extra` are additional variables, `K=V`. Returns
 * the exit status, 128+N after signal N; every process that the command started is gone by then. SIGTERM and SIGHUP
 * kill the command. Throws when the command cannot be started.
 */
export async function runInSession(
  store: Store,
  name: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  extra: readonly string[] = [],
): Promise<number> {
  const unshare = ["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--"];
  const init = ["sh", "-c", INIT, "sh", programPath(), store.root, store.run, name];
  init.push(String(extra.length), ...extra, ...command);
  const words = [requireProgram("env"), "--default-signal", requireProgram("unshare"), ...unshare, ...init];
  const passed = Object.fromEntries(
    PASSED.flatMap((key) => (env[key] === undefined ? [] : [[key, env[key]]])),
  );
  const [file, args] = withDeathSignal("KILL", words);
  const child = execa(file, args, {
    extendEnv: false,
    env: { PATH: PROGRAM_ENVIRONMENT.PATH, HOME: "/root", ...passed },
    reject: false,
    cleanup: false,
    stdio: ["inherit", "inherit", "inherit", "pipe"],
  });
  // unshare blocks SIGTERM while it waits, hence SIGKILL; its child dies with it, and the pid namespace with the child
  const end = () => child.kill("SIGKILL");
  // a terminal sends SIGINT and SIGQUIT to the command as well: the command decides what to do
  const leave = () => {};
  const handlers = { SIGTERM: end, SIGHUP: end, SIGINT: leave, SIGQUIT: leave } as const;
  let ended: NodeJS.Signals | undefined;
  const installed = Object.entries(handlers).map(([signal, handle]) => {
    const listener = () => {
      if (handle === end) ended = signal as NodeJS.Signals;
      handle();
    };
    process.on(signal, listener);
    return () => process.off(signal, listener);
  });
  try {
    const result = await child;
    if (ended !== undefined) return 128 + constants.signals[ended];
    const report = String(result.stdio[3] ?? "");
    if (report !== BEGUN) {
      const why = (report || result.shortMessage || "no reason given").replace(/^veneer: /, "");
      throw new VeneerError("NOT_BEGUN", `prepare the session's root: ${why}`);
    }
    if (result.exitCode !== undefined) return result.exitCode;
    return 128 + (result.signal === undefined ? 0 : constants.signals[result.signal as NodeJS.Signals]);
  } finally {
    for (const remove of installed) remove();
  }
}
