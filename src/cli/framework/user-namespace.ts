/** Runs a command of a user without root again inside a user namespace and a mount namespace of its own. */
import { type ChildProcess, execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { VeneerError } from "../../errors.ts";
import { subordinateRanges } from "../../process/account.ts";
import { withDeathSignal } from "../../process/death-signal.ts";
import { findProgram, requireProgram } from "../../process/find-program.ts";
import { runForeground } from "../../process/foreground.ts";
import { PROGRAM_ENVIRONMENT } from "../../process/run-program.ts";
import { quote } from "../../text/quote.ts";
import { mapArguments } from "../../userns/subordinate-ids.ts";
import { NAMESPACE_MARK, type NamespaceKind } from "./transient-mount.ts";

/** Told by the child that it is in its namespaces; it goes on when it is told so. */
const WAIT = `echo ready >&3 && read -r go <&3 && [ "$go" = go ] || exit 1
exec 2>&4 4>&- 3>&- "$@"`;

/**
 * Runs a program inside, as root there, with all ids that belong to the user; returns its exit status. With `join` the
 * user namespace is that of this process. Throws when the kernel gives no namespace.
 */
export async function runInside(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  mark: NamespaceKind,
  join?: number,
): Promise<number> {
  const unshare = requireProgram("unshare");
  // a signal that kills this process, which only waits, is meant for the command
  const tied = findProgram("setpriv") === undefined ? [] : withDeathSignal("KILL", []).flat();
  const own = ["--mount", "--propagation", "slave", "--", ...tied, "/bin/sh", "-c", WAIT, "sh"];
  const [enter, ...words] =
    join === undefined
      ? [unshare, "--user", ...own]
      : [
          requireProgram("nsenter"),
          "--user",
          "--preserve-credentials",
          "-t",
          String(join),
          "--",
          unshare,
          ...own,
        ];
  let complaint = "";
  let failure: unknown;
  let begun = false;
  const prepare = (child: ChildProcess) => {
    child.stderr?.on("data", (chunk) => {
      if (complaint.length < 500) complaint += chunk;
    });
    const line = child.stdio[3] as Duplex;
    line.on("error", () => {});
    line.once("data", () => {
      try {
        if (join === undefined) mapIds(child.pid as number);
        begun = true;
        line.end("go\n");
      } catch (error) {
        failure = error;
        line.end("no\n");
      }
    });
  };
  // descriptor 2 is where unshare complains; the program gets the caller's stderr, as 4
  const status = await runForeground(
    enter as string,
    [...words, file, ...args],
    { ...env, [NAMESPACE_MARK]: mark },
    {
      stdio: ["inherit", "inherit", "pipe", "pipe", 2],
      started: prepare,
    },
  );
  if (failure !== undefined) throw failure;
  if (begun) return status;
  throw new VeneerError(
    "NO_USER_NAMESPACE",
    `the kernel gives no user namespace: ${quote(complaint.trim()).slice(1, -1)}`,
    { hint: "'veneer doctor' says why, or run as root" },
  );
}

/** user_namespaces(7): newuidmap(1) for the subordinate ids; without it or them, the user's own id alone. */
function mapIds(pid: number): void {
  const uid = process.getuid?.() as number;
  const gid = process.getgid?.() as number;
  const ranges = subordinateRanges();
  const program = { uid: findProgram("newuidmap"), gid: findProgram("newgidmap") };
  if (program.uid && program.gid && ranges.uid.length > 0 && ranges.gid.length > 0) {
    run(program.uid, [String(pid), ...mapArguments(uid, ranges.uid)]);
    run(program.gid, [String(pid), ...mapArguments(gid, ranges.gid)]);
    return;
  }
  writeFileSync(`/proc/${pid}/setgroups`, "deny");
  writeFileSync(`/proc/${pid}/uid_map`, `0 ${uid} 1\n`);
  writeFileSync(`/proc/${pid}/gid_map`, `0 ${gid} 1\n`);
}

function run(program: string, args: readonly string[]): void {
  try {
    execFileSync(program, args, { env: PROGRAM_ENVIRONMENT, stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    const text = String((error as { stderr?: unknown }).stderr ?? error).trim();
    throw new VeneerError("NO_ID_MAP", `${program}: ${quote(text).slice(1, -1)}`, {
      hint: "/etc/subuid and /etc/subgid must give this user's ranges to nobody else, and newuidmap must be set-user-ID root: 'veneer doctor'",
    });
  }
}
