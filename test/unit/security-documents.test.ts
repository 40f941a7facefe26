/** What SECURITY.md and the review name as code and as proof is there. */
import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

it.each(["SECURITY.md", "docs/security.md", "docs/security-review.md"])(
  "%s names files that exist",
  (document) => {
    const text = readFileSync(document, "utf8");
    const named = [...text.matchAll(/`((?:src|test)\/[^`]+\.ts)`/g)].map(([, path]) => path as string);
    expect(named.filter((path) => !existsSync(path))).toEqual([]);
  },
);

it("every row of the review says what prevents it and what proves that, or why there is nothing to prevent", () => {
  const lines = readFileSync("docs/security-review.md", "utf8").split("\n");
  const rows = lines
    .filter((line) => line.startsWith("| CVE-"))
    .map((line) => line.slice(2, -2).split(" | "));
  expect(rows.length).toBeGreaterThan(100);
  const complete = ([, , here = "", proof = ""]: string[]) =>
    (here.startsWith("yes: ") && here.includes("`src/") && proof.startsWith("`test/")) ||
    here.startsWith("no: ");
  expect(rows.filter((row) => row.length !== 4 || !complete(row))).toEqual([]);
  expect(new Set(rows.map(([id]) => id)).size).toBe(rows.length);
});
