import { expect, it } from "vitest";
import { wrapText } from "../../../../src/cli/framework/help.ts";

it("fills paragraphs and leaves indented ones as they are", () => {
  const long = Array.from({ length: 40 }, (_, index) => `word${index}`).join("\n");
  const wrapped = wrapText(`${long}\n\none\ntwo\n\nlist:\n  a  b\n  c`);
  const [first = "", second, third] = wrapped.split("\n\n");
  expect(first.split("\n").every((line) => line.length <= 96)).toBe(true);
  expect(first.split("\n").length).toBeLessThan(5);
  expect(first.split(/\s/)).toHaveLength(40);
  expect(second).toBe("one two");
  expect(third).toBe("list:\n  a  b\n  c");
});
