import { expect, it } from "vitest";
import { byPrefix } from "../../../src/text/prefix.ts";

it("an exact name wins over longer ones", () => {
  expect(byPrefix(["web", "web1", "web"], "web")).toBe("web");
});

it("a beginning that one name has is enough; none and an empty one are nothing", () => {
  expect(byPrefix(["web1", "web1", "db"], "we")).toBe("web1");
  expect(byPrefix(["web1"], "x")).toBeUndefined();
  expect(byPrefix(["web1"], "")).toBeUndefined();
});

it("several names are refused and named, a few of many", () => {
  expect(() => byPrefix(["web2", "web1"], "web")).toThrow(
    expect.objectContaining({ code: "AMBIGUOUS", hint: "write more of one: web1, web2" }),
  );
  const many = Array.from({ length: 20 }, (_, index) => `n${index}`);
  expect(() => byPrefix(many, "n")).toThrow(
    expect.objectContaining({ hint: expect.stringMatching(/n15 and others$/) }),
  );
});
