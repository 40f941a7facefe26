import { expect, it } from "vitest";
import { Omissions } from "../../../src/trees/omissions.ts";

it("tells of each kind once, with the first paths and the number of all", () => {
  const omissions = new Omissions();
  for (const path of ["dev/a", "dev/b", "dev/c", "dev/d"]) omissions.add("device", path);
  for (let round = 0; round < 2; round++) omissions.add("acl", "etc/x\u001b[2J");
  const lines: string[] = [];
  omissions.report((line) => lines.push(line));
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(/^veneer: 4 device files are left out: .*: dev\/a, dev\/b, dev\/c, …$/);
  expect(lines[1]).toMatch(/^veneer: 2 ACLs /);
  // the tree's maker writes nothing to the terminal
  expect(lines.join("")).not.toContain("\u001b");
});

it("says nothing where nothing is left out", () => {
  new Omissions().report(() => expect.unreachable());
});
