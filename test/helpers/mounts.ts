/** What is mounted where, in a form that two moments can be compared by. */
import { readFileSync } from "node:fs";

/**
 * Lines of mountinfo that have to do with veneer or a test's host, without the ids, which differ between
 * namespaces. Others come and go with what else the machine does.
 */
export function mountTable(pid: number | "self" = "self"): string[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  return lines.filter((line) => line.includes("veneer")).map((line) => line.split(" ").slice(2).join(" "));
}
