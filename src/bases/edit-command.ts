/** Runs a command inside an edit session. */
import { constants } from "node:os";
import { execa } from "execa";
import { VeneerError } from "../errors.ts";
import { withDeathSignal } from "../process/death-signal.ts";
import { requireProgram } from "../process/find-program.ts";
import { PROGRAM_ENVIRONMENT } from "../process/run-program.ts";
import type { Store } from "../store/paths.ts";
import { programPath } from "../sys/self.ts";

/** The variables that a command inherits from the caller: enough for a terminal and a proxy. */
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

/** What {@link INIT} writes to descriptor 3 when the command begins; anything else is why it cannot. */
const BEGUN = "begun";

/**
 * Process 1 of the pid namespace: it prepares the root and waits for the command, so that the command has no
 * part in the peculiarities of process 1 (signals are ignored there). When it ends, the kernel ends all
 * that is left. Bun raises the soft limit of open files. The HOME of the command is not that of our user.
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
 * Runs a command in the session of a base, with mount and pid namespaces of its own, the host's network,
 * /proc, /sys and a /dev of its own, and the caller's stdin, stdout and stderr. Returns its status, 128+N for a
 * signal. `extra` are further variables, `K=V`. Every process it started is gone on return. SIGTERM and SIGHUP end it. Throws when it cannot begin.
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
  // unshare blocks SIGTERM while it waits; its death takes its child along, and that the namespace
  const end = () => child.kill("SIGKILL");
  // a terminal sends SIGINT and SIGQUIT to the command too, which decides how to react
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
