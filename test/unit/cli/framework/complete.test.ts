import { describe, expect, it } from "vitest";
import type { Command, Operand, Option } from "../../../../src/cli/framework/command.ts";
import { complete, countGlobals } from "../../../../src/cli/framework/complete.ts";

const make = (
  name: string,
  operands: readonly Operand[],
  options: readonly Option[],
  rest?: string,
): Command => ({
  name,
  summary: `Do ${name}`,
  operands,
  options,
  ...(rest !== undefined && { rest }),
  run() {},
});

const commands = [
  make("base ls", [], [{ name: "--json", help: "print JSON" }]),
  make("base show", [{ name: "NAME", complete: "base" }], []),
  make("rm", [{ name: "ID", repeated: true, complete: "instance" }], []),
  make(
    "run",
    [{ name: "BASE", complete: "base" }],
    [
      { name: "--network", value: "host|none", help: "net", complete: ["host", "none"] },
      { name: "--user", short: "-u", value: "USER", help: "user" },
      { name: "--volume", short: "-v", value: "SRC:DST", help: "bind", complete: "file" },
      { name: "--tty", short: "-t", help: "terminal" },
    ],
    "COMMAND...",
  ),
];
const globals = [
  { name: "--root", value: "DIR", help: "store", complete: "directory" as const },
  { name: "--debug", help: "debug" },
];

const wanted = (line: string) => complete(line.split(" "), commands, globals);
const values = (line: string) => {
  const answer = wanted(line);
  return answer.kind === "words" ? answer.candidates.map(({ value }) => value) : answer.kind;
};

describe("complete", () => {
  it("offers the commands, those of two words by their first once", () => {
    expect(values("")).toEqual(["help", "base", "rm", "run"]);
    expect(values("r")).toEqual(["rm", "run"]);
    expect(values("base ")).toEqual(["ls", "show"]);
    expect(values("base s")).toEqual(["show"]);
  });

  it("offers options before the command, and skips them with their values", () => {
    expect(values("-")).toEqual(["--root", "--debug"]);
    expect(values("--root ")).toBe("directory");
    expect(values("--root run ba")).toEqual(["base"]);
    expect(values("--root=/x --debug ba")).toEqual(["base"]);
  });

  it("offers what an operand is, a repeated one again and again", () => {
    expect(wanted("base show deb")).toEqual({ kind: "base", prefix: "", begun: "deb" });
    expect(values("base show debian ")).toEqual([]);
    expect(values("rm a b c")).toBe("instance");
    expect(values("run --tty -u x ")).toBe("base");
  });

  it("offers options and their values, attached ones too", () => {
    expect(values("run --t")).toEqual(["--tty"]);
    expect(values("run -")).toEqual([
      "--network",
      "--user",
      "-u",
      "--volume",
      "-v",
      "--tty",
      "-t",
      "--help",
      "-h",
      "--",
    ]);
    expect(values("run --network ")).toEqual(["host", "none"]);
    expect(values("run --network=n")).toEqual(["--network=none"]);
    expect(values("run -v ")).toBe("file");
    expect(wanted("run --volume=/a")).toEqual({ kind: "file", prefix: "--volume=", begun: "/a" });
    expect(values("run -u ")).toEqual([]);
  });

  it("offers files behind --", () => {
    expect(values("run debian -- ")).toBe("file");
    expect(values("run debian -- cat --net")).toBe("file");
  });

  it("offers commands behind help, and nothing behind an unknown one", () => {
    expect(values("help ba")).toEqual(["base"]);
    expect(values("help base ")).toEqual(["ls", "show"]);
    expect(values("nonsense ")).toEqual([]);
    expect(values("nonsense more ")).toEqual([]);
  });

  it("carries the descriptions", () => {
    expect(wanted("base l")).toEqual({ kind: "words", candidates: [{ value: "ls", help: "Do base ls" }] });
  });
});

it("counts a global option whose value is still to come", () => {
  expect(countGlobals(["--root"], globals)).toBe(2);
  expect(countGlobals(["--root", "/x", "run", "--root"], globals)).toBe(2);
  expect(countGlobals(["run"], globals)).toBe(0);
});
