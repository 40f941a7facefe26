import { describe, expect, it } from "vitest";
import { formatError, VeneerError } from "../../../src/errors.ts";
import { asError } from "../../../src/update/own-program.ts";

const framed = (said: string) =>
  formatError(new VeneerError("VERB_FAILED", "import x", { cause: asError(said) }));

describe("the message of a verb that failed", () => {
  it.each([
    ["write 'x'; hint: free space [WRITE_FAILED]", "import x: write 'x'; hint: free space [WRITE_FAILED]"],
    ["no base b [NO_BASE]", "import x: no base b [NO_BASE]"],
    ["a note; no base b; hint: make it [NO_BASE]", "import x: a note; no base b; hint: make it [NO_BASE]"],
    ["EIO: write", "import x: EIO: write [VERB_FAILED]"],
    ["grep: [A-Z] [BAD]", "import x: grep: [A-Z] [BAD] [VERB_FAILED]"],
    ["status 3", "import x: status 3 [VERB_FAILED]"],
  ])("%s", (said, expected) => {
    expect(framed(said)).toBe(expected);
  });
});
