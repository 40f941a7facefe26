/** systemd.service(5), "Command lines": quotes, backslashes, `%`, `$` and a lone `;` mean something. */
import { describe, expect, it } from "vitest";
import { unitWords } from "../../../src/engines/unit-words.ts";

describe("words of a command in a unit", () => {
  it("stand as they are, a space between", () => {
    expect(unitWords(["/usr/bin/veneer", "mount", "web-1", "--root=/srv/ü:x"])).toBe(
      "/usr/bin/veneer mount web-1 --root=/srv/ü:x",
    );
  });

  it.each(["", "a b", "a\tb", "a\nb", "'a'", '"a"', "a\\x20b", "%n", "100%", "$HOME", ";"])(
    "%j is refused",
    (word) => {
      expect(() => unitWords(["/usr/bin/veneer", word])).toThrow("cannot stand in a unit of systemd");
    },
  );
});
