import { describe, expect, it } from "vitest";
import { Arguments, readGlobalOption, readRequestOption } from "../../../src/request/arguments.ts";
import type { GlobalOptions } from "../../../src/request/config.ts";
import type { RequestOptions } from "../../../src/request/root-request.ts";

function globals(...words: string[]) {
  const args = new Arguments(words);
  const options: GlobalOptions = {};
  for (let word = args.next(); word !== undefined; word = args.next()) {
    if (!readGlobalOption(word, args, options)) return { options, word, rest: args.rest() };
  }
  return { options };
}

function wishes(...words: string[]) {
  const args = new Arguments(words);
  const found: RequestOptions = {};
  for (let word = args.next(); word !== undefined; word = args.next()) {
    if (!readRequestOption(word, args, found)) throw new Error(`unknown ${word}`);
  }
  return found;
}

describe("options before the command", () => {
  it("have their value behind them or attached", () => {
    expect(globals("--root", "/s/", "--run=/r", "--debug", "ls", "--json")).toEqual({
      options: { root: "/s", run: "/r", debug: true },
      word: "ls",
      rest: ["--json"],
    });
  });

  it.each([
    [["--root", "store"], /not an absolute path/],
    [["--root"], /needs a value/],
    [["--debug=yes", "ls"], /takes no value/],
    [["--config", "/a\0b"], /not an absolute path/],
  ])("%j is refused", (words, message) => {
    expect(() => globals(...words)).toThrow(message);
  });
});

describe("options that say what root is wanted", () => {
  it("are those of hooks", () => {
    expect(
      wishes(
        ...["--base", "debian@3", "--instance=web1", "--persistent", "--opaque", "/tmp", "--opaque", "/srv/"],
        ...["--mask", "/etc/shadow", "--tmpfs", "64m", "--shifted-copy", "--container", "C 1"],
      ),
    ).toEqual({
      base: { name: "debian", version: 3 },
      instance: "web1",
      persistent: true,
      opaque: ["/tmp", "/srv"],
      mask: ["/etc/shadow"],
      tmpfs: 64 * 2 ** 20,
      shiftedCopy: true,
      container: "C 1",
    });
  });

  it("have a word for no opaque path", () => {
    expect(wishes("--opaque", "/srv", "--opaque", "none")).toEqual({ opaque: [] });
  });

  it.each([
    [["--base", "Debian"], /base name/],
    [["--base", "debian@0"], /names no version/],
    [["--mask", "etc"], /masked path/],
    [["--tmpfs", "0"], /size/],
  ])("%j is refused", (words, message) => {
    expect(() => wishes(...words)).toThrow(message);
  });
});
