/** Runs a command of a user without root again, in its own user and mount namespaces. */
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

/** The child reports that it is in its namespaces, and continues when it is told to. */
const WAIT = `echo ready >&3 && read -r go <&3 && [ "$go" = go ] || exit 1
exec 2>&4 4>&- 3>&- "$@"`;

/**
 * Runs a program in a user namespace, as root there, with all ids that belong to the user; returns its exit status.
 * With `join` it enters the user namespace of this process instead of a new one. Throws when the kernel denies the
 * namespace.
 */
export async function runInside(
  file: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  mark: NamespaceKind,
  join?: number,
): Promise<number> {
  const unshare = requireProgram("unshare");
  // this process only waits: a signal that kills it is meant for the command, so the command dies with it
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
  // descriptor 2 collects the errors of unshare; the program gets the caller's stderr from descriptor 4
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

/** Maps subordinate ids with newuidmap(1); without them or it, only the user's own id (user_namespaces(7)). */
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
