import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { featureTable } from "../../../src/doctor/kernel-features.ts";

it("docs/kernels.md shows the table of kernel features", () => {
  expect(readFileSync("docs/kernels.md", "utf8")).toContain(featureTable());
});
