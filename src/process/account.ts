/** The calling user: name, subordinate ids, directory for records. */
import { VeneerError } from "../errors.ts";
import { readText } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { getuid } from "../sys/process.ts";
import { runToEnd } from "../sys/spawn.ts";
import { isType, statMaybe } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import { parseSubordinate, type SubordinateRange } from "../userns/subordinate-ids.ts";

/** What /etc/subuid and /etc/subgid give to the calling user. */
export function subordinateRanges(): Readonly<Record<"uid" | "gid", readonly SubordinateRange[]>> {
  const uid = getuid();
  const name = accountName();
  const read = (file: string) => parseSubordinate(readText(file) ?? "", uid, name);
  return { uid: read("/etc/subuid"), gid: read("/etc/subgid") };
}

/** The user's name, wherever accounts are kept; undefined where it has none. */
export function accountName(): string | undefined {
  const uid = String(getuid());
  const local = (readText("/etc/passwd") ?? "").split("\n").map((line) => line.split(":"));
  const known = local.find((fields) => fields[2] === uid)?.[0];
  if (known) return known;
  const { status, stdout } = runToEnd(["/usr/bin/id", "-un"]);
  return status === 0 ? stdout.trim() : undefined;
}

/** Throws unless the directory that records of running things go to can be made. */
export function requireRunDirectory(
  run: string,
  isDefault: boolean,
  env: Readonly<Record<string, string | undefined>>,
): void {
  if (!isDefault) return;
  const place = run.slice(0, run.lastIndexOf("/")) || "/";
  const status = statMaybe(place);
  if (status && isType(status, S_IFDIR) && status.uid === getuid()) return;
  const what = env.XDG_RUNTIME_DIR ? "XDG_RUNTIME_DIR" : "XDG_RUNTIME_DIR is not set, and";
  const why = status ? `belongs to uid ${status.uid}` : "does not exist";
  throw new VeneerError("NO_RUNTIME_DIR", `${what} ${quote(place)} ${why}`, {
    hint: "log in as that user (ssh, login, 'machinectl shell USER@'; su and sudo give none), 'loginctl enable-linger USER' keeps it; or set VENEER_RUN to a directory that does not outlast a reboot",
  });
}
