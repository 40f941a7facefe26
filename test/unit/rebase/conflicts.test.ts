import { describe, expect, it } from "vitest";
import { conflictLine, conflicts, databaseWarnings, type OwnFact } from "../../../src/rebase/conflicts.ts";

const fact = (path: string, own: OwnFact["own"], more: Partial<OwnFact> = {}): OwnFact => ({
  path,
  own,
  before: true,
  after: true,
  unchanged: false,
  sameAsAfter: false,
  ...more,
});
const lines = (...facts: OwnFact[]) => conflicts(facts).map(conflictLine);

describe("conflicts", () => {
  it.each([
    ["both changed a file", fact("a", "other"), ["CC /a"]],
    ["both added a file", fact("a", "other", { before: false }), ["AA /a"]],
    ["the instance removed what the base changed", fact("a", "whiteout"), ["DC /a"]],
    ["the instance changed what the base removed", fact("a", "other", { after: false }), ["CD /a"]],
    ["both changed a directory's attributes", fact("a", "directory"), ["CC /a"]],
    ["the instance hides what the base added", fact("a", "whiteout", { before: false }), ["DA /a"]],
  ])("are told where %s", (_, one, wanted) => {
    expect(lines(one)).toEqual(wanted);
  });

  it.each([
    ["the base changed nothing", fact("a", "other", { unchanged: true })],
    ["the base never had the file", fact("a", "other", { before: false, after: false })],
    ["both removed it", fact("a", "whiteout", { after: false })],
    ["both came to the same", fact("a", "other", { sameAsAfter: true })],
  ])("are none where %s", (_, one) => {
    expect(lines(one)).toEqual([]);
  });
});

it("calls a package database by its name, once", () => {
  const all = conflicts(
    [
      "var/lib/dpkg/info/nginx.list",
      "var/lib/dpkg/status",
      "lib/apk/db/installed",
      "var/lib/dpkgs",
      "etc/x",
    ].map((path) => fact(path, "other")),
  );
  expect(all.map(({ database }) => database)).toEqual([undefined, "apk", "dpkg", "dpkg", undefined]);
  expect(databaseWarnings(all, "debian@2")).toEqual([
    expect.stringMatching(/^the package database of apk \(\/lib\/apk\/db\/installed\) is the instance's own/),
    expect.stringMatching(/^the package database of dpkg \(\/var\/lib\/dpkg\/status\) .* debian@2 /),
  ]);
  expect(databaseWarnings([], "debian@2")).toEqual([]);
});
