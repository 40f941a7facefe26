/** What is mounted where, in a form that two moments can be compared by. */
import { readFileSync } from "node:fs";

type Pid = number | "self";

/**
 * Lines of mountinfo that have to do with veneer or a test's host, without the ids, which differ between
 * namespaces. Others come and go with what else the machine does.
 */
function linesOf(pid: Pid): string[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  const ours = lines
    .filter((line) => line.includes("veneer"))
    .map((line) => line.split(" ").slice(2).join(" "));
  // what a mount was made of may be deleted elsewhere
  return ours.map((line) => line.replace("//deleted ", " "));
}

/** Tests of another checkout on this machine may have been at work when this namespace was made. */
const atFirst = new Set(linesOf("self"));

/** What has been mounted since this file of tests began, and is mounted now. */
export function mountTable(pid: Pid = "self"): string[] {
  return linesOf(pid).filter((line) => !atFirst.has(line));
}

/** Those of it that are overlays of veneer's. */
export function veneerOverlays(): string[] {
  return mountTable().filter((line) => line.includes(" - overlay veneer:"));
}
