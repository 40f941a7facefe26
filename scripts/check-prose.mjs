// Holds the prose of *.md to lines of at most 160 characters, so that changes are read line by line; part of `npm run lint`.
// Tables and code may be longer.
//
// usage: check-prose.mjs      exits 1 with one line a fault
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const MOST = 160;

const files = execFileSync("git", ["ls-files", "*.md"], { encoding: "utf8" }).trim().split("\n");
for (const file of files) {
  let isCode = false;
  for (const [index, line] of readFileSync(file, "utf8").split("\n").entries()) {
    if (line.trimStart().startsWith("```")) isCode = !isCode;
    if (isCode || line.startsWith("|") || line.length <= MOST) continue;
    console.error(`${file}:${index + 1}: ${line.length} characters: break the line before ${MOST}`);
    process.exitCode = 1;
  }
}
