/** The calling user: name, subordinate ids, directory for records. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { VeneerError } from "../errors.ts";
import { quote } from "../text/quote.ts";
import { parseSubordinate, type SubordinateRange } from "../userns/subordinate-ids.ts";

/** What /etc/subuid and /etc/subgid give to the calling user. */
export function subordinateRanges(): Readonly<Record<"uid" | "gid", readonly SubordinateRange[]>> {
  const uid = process.getuid?.() as number;
  const name = accountName();
  const read = (file: string) =>
    existsSync(file) ? parseSubordinate(readFileSync(file, "utf8"), uid, name) : [];
  return { uid: read("/etc/subuid"), gid: read("/etc/subgid") };
}

/** The user's name, wherever accounts are kept; undefined where it has none. */
export function accountName(): string | undefined {
  const uid = String(process.getuid?.());
  const local = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const known = local.find((fields) => fields[2] === uid)?.[0];
  if (known) return known;
  try {
    const stdio = ["ignore", "pipe", "ignore"] as const;
    return execFileSync("/usr/bin/id", ["-un"], { encoding: "utf8", stdio: [...stdio] }).trim();
  } catch {
    return undefined;
  }
}

/** Throws unless the directory that records of running things go to can be made. */
export function requireRunDirectory(run: string, isDefault: boolean, env: NodeJS.ProcessEnv): void {
  if (!isDefault) return;
  const place = dirname(run);
  const status = statSync(place, { throwIfNoEntry: false });
  if (status?.isDirectory() && status.uid === process.getuid?.()) return;
  const what = env.XDG_RUNTIME_DIR ? "XDG_RUNTIME_DIR" : "XDG_RUNTIME_DIR is not set, and";
  const why = status ? `belongs to uid ${status.uid}` : "does not exist";
  throw new VeneerError("NO_RUNTIME_DIR", `${what} ${quote(place)} ${why}`, {
    hint: "log in as that user (ssh, login, 'machinectl shell USER@'; su and sudo give none), 'loginctl enable-linger USER' keeps it; or set VENEER_RUN to a directory that does not outlast a reboot",
  });
}
