import { describe, expect, it } from "vitest";
import { jsonKey } from "../../../src/engines/json-file.ts";
import { tomlTable } from "../../../src/engines/toml-file.ts";

describe("a key in a JSON file of an engine's", () => {
  const { add, remove } = jsonKey("/etc/docker/daemon.json", ["runtimes", "veneer"], { path: "/bin/v" });

  it("is added and removed, and all else stays as it is written", () => {
    const before = '{\n    "debug" : true,\n    "runtimes": { "other": {"path": "/o"} }\n}\n';
    const after = add(before);
    expect(JSON.parse(after)).toEqual({
      debug: true,
      runtimes: { other: { path: "/o" }, veneer: { path: "/bin/v" } },
    });
    expect(after).toContain('"debug" : true');
    expect(add(after)).toBe(after);
    expect(JSON.parse(remove(after) as string)).toEqual(JSON.parse(before));
  });

  it("makes a file where there is none", () => {
    expect(JSON.parse(add(undefined))).toEqual({ runtimes: { veneer: { path: "/bin/v" } } });
  });

  it.each(["[]", "{", '{"runtimes": 1}', "{} // comment"])("%s is not touched", (text) => {
    expect(() => add(text)).toThrow(/daemon.json/);
  });
});

describe("a table in a TOML file of an engine's", () => {
  const table = tomlTable(
    "/etc/x.toml",
    "fresh\n",
    () => ["a", "b"],
    () => ({ path: "/bin/v" }),
    { keep: 1 },
  );

  it("is added and removed, and comments stay", () => {
    const before = '# mine\nversion = 2 # here\n\n[a]\nother = "x"\n';
    const after = table.add(before);
    expect(after).toContain("# mine\nversion = 2 # here");
    expect(after).toContain('path = "/bin/v"');
    expect(table.add(after)).toBe(after);
    expect(table.remove(after)).toContain('[a]\nother = "x"');
    expect(table.remove(after)).not.toContain("/bin/v");
  });

  it("has what stands beside it by default where its parent is new", () => {
    expect(table.add("version = 2\n")).toMatch(/keep = 1/);
  });

  it("is in a text of its own where there is no file", () => {
    expect(table.add(undefined)).toBe("fresh\n");
  });

  it.each(["a = 1\n", "not toml"])("%j is not touched", (text) => {
    expect(() => table.add(text)).toThrow(/x.toml/);
  });
});
