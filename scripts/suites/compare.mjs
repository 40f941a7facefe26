// compare.mjs RESULTS EXPECTED: what runtimes' own tests said in SUITE.MODE.FILE.tap, as a table; status 1 where a test has another
// verdict through the wrapping runtime than without it, unless EXPECTED names it: SUITE MODE TEST WHY, separated by tabs.
import { existsSync, readdirSync, readFileSync } from "node:fs";

const [results, expectedFile] = process.argv.slice(2);
const MODES = ["plain", "wrapped", "based"];

/** Test by test: passed, failed or skipped. */
function verdicts(file) {
  const found = new Map();
  for (const line of readFileSync(file, "utf8").split(/\r?\n/)) {
    const [, not, rest] = /^(not )?ok [0-9]+ (?:- )?(.*)$/.exec(line) ?? [];
    if (rest === undefined) continue;
    const skipped = /\s*# ?skip\b.*$/i.exec(rest);
    const verdict = skipped ? "skipped" : not === undefined ? "passed" : "failed";
    found.set(skipped ? rest.slice(0, skipped.index) : rest, verdict);
  }
  return found;
}

const expected = new Map(
  readFileSync(expectedFile, "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [suite, mode, test, why] = line.split("\t");
      return [`${suite} ${mode} ${test}`, why];
    }),
);

let wrong = 0;
const counts = new Map();
for (const file of readdirSync(results).filter((name) => /\.plain\..*\.tap$/.test(name))) {
  const [suite, , name] = file.split(".");
  const files = MODES.map((mode) => `${results}/${suite}.${mode}.${name}.tap`);
  const all = files.map((path) => (existsSync(path) ? verdicts(path) : undefined));
  const plain = all[0];
  if (plain.size === 0) console.log(`${suite} ${name}: no test ran`);
  for (const [index, mode] of MODES.entries()) {
    if (!all[index]) continue;
    const count = counts.get(`${suite} ${mode}`) ?? { passed: 0, failed: 0, skipped: 0, other: 0 };
    counts.set(`${suite} ${mode}`, count);
    for (const [test, verdict] of plain) {
      const here = all[index].get(test) ?? "missing";
      if (here in count) count[here]++;
      if (here === verdict) continue;
      const why = expected.get(`${suite} ${mode} ${test}`);
      count.other++;
      if (why === undefined) wrong++;
      console.log(
        `${suite} ${mode} ${name}: ${test}: ${verdict} -> ${here}${why ? ` (expected: ${why})` : ""}`,
      );
    }
  }
}
for (const [key, { passed, failed, skipped, other }] of counts) {
  console.log(`${key}: ${passed} passed, ${failed} failed, ${skipped} skipped; ${other} other than plain`);
}
console.log(wrong === 0 ? "the same verdicts" : `${wrong} other verdicts`);
process.exitCode = wrong === 0 && counts.size > 0 ? 0 : 1;
