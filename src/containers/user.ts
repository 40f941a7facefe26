/** Who the first process of a container is: names and numbers looked up in the root's own files. */
import { UsageError } from "../errors.ts";
import { quote } from "../text/quote.ts";

export interface User {
  readonly uid: number;
  readonly gid: number;
  /** groups that list the user (group(5)) */
  readonly additionalGids: readonly number[];
  readonly home: string;
}

/** Contents of the root's /etc/passwd and /etc/group; undefined where there is none. */
export interface Accounts {
  readonly passwd: string | undefined;
  readonly group: string | undefined;
}

const MAX_ID = 0xffff_fffe;

/**
 * Resolves `USER[:GROUP]`, each a name or a number, as docker does: a name must be in the files, a number need
 * not be. Without a group, or with an empty one (`1000:`), it is that of the passwd(5) entry, else 0; without an entry
 * the home is `/`. Throws UsageError.
 */
export function resolveUser(text: string, accounts: Accounts): User {
  const [name = "", group = "", ...more] = text.split(":");
  const groupName = group === "" ? undefined : group;
  if (name === "" || more.length > 0) {
    throw new UsageError(`user ${quote(text)} is not valid`, "write USER or USER:GROUP, names or numbers");
  }
  const users = entries(accounts.passwd, 7);
  const groups = entries(accounts.group, 4);
  const number = idOf(name);
  const entry =
    users.find((fields) => fields[0] === name) ??
    (number === undefined ? undefined : users.find((fields) => idOf(fields[2]) === number));
  const uid = entry ? idOf(entry[2]) : number;
  if (uid === undefined) {
    throw new UsageError(
      `no user ${quote(name)} in the root's /etc/passwd`,
      "give a number, or add the user",
    );
  }
  const gid = groupName === undefined ? (idOf(entry?.[3]) ?? 0) : resolveGroup(groupName, groups);
  const additionalGids = entry && groupName === undefined ? memberships(entry[0] as string, groups, gid) : [];
  return { uid, gid, additionalGids, home: entry?.[5] || "/" };
}

function resolveGroup(name: string, groups: readonly string[][]): number {
  const gid = idOf(groups.find((fields) => fields[0] === name)?.[2]) ?? idOf(name);
  if (gid !== undefined) return gid;
  throw new UsageError(`no group ${quote(name)} in the root's /etc/group`, "give a number, or add the group");
}

function memberships(user: string, groups: readonly string[][], own: number): number[] {
  const ids = new Set<number>();
  for (const [, , id, members] of groups) {
    const gid = idOf(id);
    if (gid !== undefined && gid !== own && (members ?? "").split(",").includes(user)) ids.add(gid);
  }
  return [...ids];
}

/** Lines of a colon-separated file that have enough fields. */
function entries(text: string | undefined, fields: number): string[][] {
  const lines = (text ?? "").split("\n").map((line) => line.split(":"));
  return lines.filter((line) => line.length >= fields && !line[0]?.startsWith("#"));
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}
