/** Deletes what lies in the trash. */
import { realpathSync } from "node:fs";
import { VeneerError } from "../errors.ts";
import { runProgram } from "../process/run-program.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { quote } from "../text/quote.ts";

/** Arguments of one call. */
const BATCH = 500;

/**
 * Deletes directories in the trash; symbolic links are removed, never followed. A directory in which something
 * is mounted is left, and named in the error that is thrown when the others are deleted: --one-file-system does
 * not stop at a bind mount from the same file system. Two at once do not disturb each other.
 */
export async function deleteTrash(entries: readonly string[]): Promise<void> {
  const targets = parseMountinfo(readMountinfo("self") ?? "").map((mount) => mount.target);
  const mounted = new Map<string, string>();
  for (const entry of entries) {
    const parent = realpathSync(entry.slice(0, entry.lastIndexOf("/")));
    const path = `${parent}${entry.slice(entry.lastIndexOf("/"))}`;
    const target = targets.find((one) => one === path || one.startsWith(`${path}/`));
    if (target !== undefined) mounted.set(entry, target);
  }
  const free = entries.filter((entry) => !mounted.has(entry));
  for (let at = 0; at < free.length; at += BATCH) {
    await runProgram("rm", ["-rf", "--one-file-system", "--", ...free.slice(at, at + BATCH)]);
  }
  const [target] = mounted.values();
  if (target !== undefined) {
    throw new VeneerError("IN_USE", `${quote(target)} is mounted inside a directory that is to be deleted`, {
      hint: `umount ${quote(target)}, then run 'veneer gc'`,
    });
  }
}

/** Bytes on disk below each path; hard links count once, what is gone not at all. */
export async function diskUsage(entries: readonly string[]): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for (let at = 0; at < entries.length; at += BATCH) {
    const args = ["-s", "-x", "-0", "-B1", "--", ...entries.slice(at, at + BATCH)];
    // status 1: something vanished meanwhile
    const text = await runProgram("du", args, { accept: [0, 1] });
    for (const line of text.split("\0")) {
      const tab = line.indexOf("\t");
      if (tab > 0) sizes.set(line.slice(tab + 1), Number(line.slice(0, tab)));
    }
  }
  return sizes;
}
