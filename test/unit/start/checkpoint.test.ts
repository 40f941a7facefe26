import { expect, it } from "vitest";
import { isRecordOf } from "../../../src/start/checkpoint.ts";

const LONG = "w".repeat(128);
const own = { container: "web", placement: "private", bundle: "/bundles/web" } as const;

it.each([
  ["that container", own, { container: "web", bundle: "/bundles/web" }, true],
  ["its bundle by another path", own, { container: "web", bundle: "/link/web" }, true],
  ["a runtime whose state is not known", own, { container: "web" }, true],
  ["the same id with another bundle", own, { container: "web", bundle: "/other/web" }, false],
  [
    "a record without a bundle",
    { ...own, bundle: undefined },
    { container: "web", bundle: "/bundles/web" },
    false,
  ],
  ["an id in other letters", { ...own, container: "Web" }, { container: "web" }, false],
  ["an id that begins with it", { ...own, container: "web1" }, { container: "web" }, false],
  [
    "ids that are alike for as long as keys are",
    { ...own, container: `${LONG}1` },
    { container: `${LONG}2` },
    false,
  ],
  ["a root that the host sees", { ...own, placement: "host" }, { container: "web" }, false],
  [
    "a root that a hook put into the container",
    { ...own, placement: "container" },
    { container: "web" },
    false,
  ],
] as const)("a record is taken for the container to checkpoint: %s", (_, record, wanted, expected) => {
  const { bundle, ...rest } = record;
  const isSame = (a: string, b: string) => a.replace("/bundles", "") === b.replace(/^\/(link|bundles)/, "");
  expect(isRecordOf({ ...rest, ...(bundle !== undefined && { bundle }) }, wanted, isSame)).toBe(expected);
});
