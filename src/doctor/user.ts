/** Checks what a user without root needs. Runs outside of the user namespace that the user's commands create. */
import { execFileSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { accountName, requireRunDirectory, subordinateRanges } from "../process/account.ts";
import { findProgram, installHint, requireProgram } from "../process/find-program.ts";
import { PROGRAM_ENVIRONMENT } from "../process/run-program.ts";
import { type Check, check, type Finding, not, ok } from "./check.ts";

export interface UserFacts {
  readonly uid: number;
  readonly run: string;
  /** whether the directory for records is the default */
  readonly defaultRun: boolean;
  readonly env: NodeJS.ProcessEnv;
}

export function userChecks(facts: UserFacts): Check[] {
  return [
    check("system", "user", true, () => ok(`uid ${facts.uid}, root of a user namespace of its own`)),
    check("system", "user namespaces", true, namespaces),
    check("system", "newuidmap", false, helpers),
    check("system", "subordinate ids", false, subordinate),
    check("system", "runtime directory", true, () => {
      requireRunDirectory(facts.run, facts.defaultRun, facts.env);
      return ok(facts.run);
    }),
  ];
}

/** Sysctls that can deny users namespaces: the file, the value that denies, and what to do as root. */
const SWITCHES = [
  ["kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"],
  ["user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=15000"],
  ["user/max_mnt_namespaces", "0", "sysctl user.max_mnt_namespaces=15000"],
  [
    "kernel/apparmor_restrict_unprivileged_userns",
    "1",
    "an AppArmor profile for veneer with 'userns,' (Ubuntu: as /etc/apparmor.d/podman), or sysctl kernel.apparmor_restrict_unprivileged_userns=0",
  ],
] as const;

function namespaces(): Finding {
  try {
    execFileSync(requireProgram("unshare"), ["--user", "--map-root-user", "--mount", "true"], {
      env: PROGRAM_ENVIRONMENT,
      stdio: "pipe",
    });
    return ok("there");
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? error).trim();
    const found = SWITCHES.filter(([file, value]) => setting(file) === value);
    const detail = [
      "cannot be made",
      ...found.map(([file, value]) => `${file.replace("/", ".")} is ${value}`),
    ];
    const hints = found.map(([, , hint]) => `as root: ${hint}`);
    return not(
      "missing",
      `${detail.join(", ")} (${said})`,
      hints.join("; ") || "in a container, its engine must allow them (seccomp, CAP_SYS_ADMIN)",
    );
  }
}

function setting(file: string): string | undefined {
  try {
    return readFileSync(`/proc/sys/${file}`, "utf8").trim();
  } catch {
    return undefined;
  }
}

const SQUASH = "without them 'base import --squash' gives every file to root";

function helpers(): Finding {
  const programs = ["newuidmap", "newgidmap"].map((name) => ({ name, file: findProgram(name) }));
  const missing = programs.filter(({ file }) => file === undefined).map(({ name }) => name);
  if (missing.length > 0) {
    return not("limited", `${missing.join(", ")} not installed`, `${installHint("uidmap")}; ${SQUASH}`);
  }
  const weak = programs.find(({ file }) => !isPrivileged(file as string));
  if (weak) {
    return not(
      "limited",
      `${weak.file} has no privilege`,
      `as root: chmod u+s ${weak.file}, or setcap cap_set${weak.name[3]}id+ep; ${SQUASH}`,
    );
  }
  return ok(programs.map(({ file }) => file).join(", "));
}

/** Whether a program is set-user-ID root or has file capabilities. */
function isPrivileged(file: string): boolean {
  const { mode, uid } = statSync(file);
  if (uid === 0 && (mode & 0o4000) !== 0) return true;
  try {
    return execFileSync(requireProgram("getcap"), [file], {
      env: PROGRAM_ENVIRONMENT,
      encoding: "utf8",
    }).includes("cap_set");
  } catch {
    return false;
  }
}

/** How many subordinate ids are enough for the files of an image. */
const ENOUGH = 65535;

function subordinate(): Finding {
  const ranges = subordinateRanges();
  const name = accountName() ?? "USER";
  const sum = (kind: "uid" | "gid") => ranges[kind].reduce((total, { count }) => total + count, 0);
  const [uids, gids] = [sum("uid"), sum("gid")];
  const detail = `${uids} in /etc/subuid, ${gids} in /etc/subgid`;
  if (uids >= ENOUGH && gids >= ENOUGH) return ok(detail);
  return not(
    "limited",
    detail,
    `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${name} (a range that nobody else has); ${SQUASH}`,
  );
}
