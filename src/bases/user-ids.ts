/**
 * The ids of a user of this machine. Not for the hot path: runs programs, since accounts may come from any source
 * (NSS).
 */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { UsageError } from "../errors.ts";
import type { IdMap, IdRange } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";
import { parseSubordinate } from "../userns/subordinate-ids.ts";

/** The uid of a user given by name or number. Throws UsageError for an unknown user and for root. */
export function uidOf(user: string): number {
  const uid = Number(ask("-u", user) ?? (/^[0-9]+$/.test(user) ? user : Number.NaN));
  if (Number.isNaN(uid)) throw new UsageError(`user ${quote(user)} is not known on this machine`);
  if (uid === 0) throw new UsageError("root needs no share", "name users, or nobody to share with all");
  return uid;
}

/** The map from the ids of a base to those in the user's namespace, as `veneer` and podman map them. */
export function mapOfUser(uid: number): IdMap {
  const name = ask("-un", String(uid));
  const gid = Number(ask("-g", String(uid)) ?? uid);
  const ranges = (own: number, file: string): IdRange[] => {
    let next = 1;
    const further = parseSubordinate(read(file), uid, name).map(({ start, count }) => {
      const range = { containerID: next, hostID: start, size: count };
      next += count;
      return range;
    });
    return [{ containerID: 0, hostID: own, size: 1 }, ...further];
  };
  return { uids: ranges(uid, "/etc/subuid"), gids: ranges(gid, "/etc/subgid") };
}

function ask(option: string, user: string): string | undefined {
  try {
    return execFileSync("/usr/bin/id", [option, "--", user], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return undefined;
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
