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
 * Resolves `USER[:GROUP]`, each a name or a number, as Docker and podman do: what is a number is never taken for a name, a
 * name must be in the files, a number need not be. Nothing before the colon (`:1000`) is root, nothing behind it (`1000:`)
 * the group of the passwd(5) entry, else 0; without an entry the home is `/`. Throws UsageError.
 */
export function resolveUser(text: string, accounts: Accounts): User {
  const [name = "", group = "", ...more] = text.split(":");
  if (text === "" || more.length > 0) {
    throw new UsageError(`user ${quote(text)} is not valid`, "write USER or USER:GROUP, names or numbers");
  }
  const users = entries(accounts.passwd);
  const groups = entries(accounts.group);
  const number = name === "" ? 0 : idOf(name);
  const entry = users.find((fields) =>
    number === undefined ? fields[0] === name : idOf(fields[2]) === number,
  );
  const uid = entry ? idOf(entry[2]) : number;
  if (uid === undefined) {
    throw new UsageError(
      `no user ${quote(name)} in the root's /etc/passwd`,
      "give a number, or add the user",
    );
  }
  const gid = group === "" ? (idOf(entry?.[3]) ?? 0) : resolveGroup(group, groups);
  const additionalGids = entry && group === "" ? memberships(entry[0] as string, groups, gid) : [];
  return { uid, gid, additionalGids, home: entry?.[5] || "/" };
}

function resolveGroup(name: string, groups: readonly string[][]): number {
  const gid = idOf(name) ?? idOf(groups.find((fields) => fields[0] === name)?.[2]);
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

/** Entries of passwd(5) or group(5); images have such with fewer fields than they should. */
function entries(text: string | undefined): string[][] {
  const lines = (text ?? "").split("\n").map((line) => line.trim().split(":"));
  return lines.filter(([name, , id]) => !name?.startsWith("#") && idOf(id) !== undefined);
}

function idOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}
