import { describe, expect, it } from "vitest";
import { appendToArray, replaceValue } from "../../../src/request/json-edit.ts";

const append = (text: string) => appendToArray(text, JSON.parse(text), ["hooks", "poststop"], '"X"');

describe("appendToArray", () => {
  it("makes what is absent at the front and leaves the rest byte for byte", () => {
    expect(append('{"a": 18446744073709551615 }')).toBe(
      '{"hooks":{"poststop":["X"]},"a": 18446744073709551615 }',
    );
    expect(append("{ }")).toBe('{"hooks":{"poststop":["X"]} }');
    expect(append('{"hooks":{"prestart":[]}}')).toBe('{"hooks":{"poststop":["X"],"prestart":[]}}');
  });

  it("replaces null", () => {
    expect(append('{"hooks":null}')).toBe('{"hooks":{"poststop":["X"]}}');
    expect(append('{"hooks":{"poststop":null}}')).toBe('{"hooks":{"poststop":["X"]}}');
  });

  it("appends behind what is there", () => {
    expect(append('{"hooks":{"poststop":[ ]}}')).toBe('{"hooks":{"poststop":["X" ]}}');
    expect(append('{"hooks":{"poststop":[{"path":"/a]}\\""} ]}}')).toBe(
      '{"hooks":{"poststop":[{"path":"/a]}\\""},"X" ]}}',
    );
  });

  it("takes no key of an inner object or a string for the one it looks for", () => {
    expect(append('{"a":"hooks","hooks":{}}')).toBe('{"a":"hooks","hooks":{"poststop":["X"]}}');
    expect(append('{"a":{"hooks":[]},"b":"\\"hooks\\":","hooks":{}}')).toBe(
      '{"a":{"hooks":[]},"b":"\\"hooks\\":","hooks":{"poststop":["X"]}}',
    );
  });
});

describe("replaceValue", () => {
  const replace = (text: string, path = ["root", "path"]) =>
    replaceValue(text, JSON.parse(text), path, '"N"');

  it("leaves every other byte as it is", () => {
    expect(replace('{ "a":18446744073709551615,\n"root" : { "readonly":true, "path" :\t"/x" } }')).toBe(
      '{ "a":18446744073709551615,\n"root" : { "readonly":true, "path" :\t"N" } }',
    );
  });

  it("finds the member of the right object, also with escapes and with equal keys elsewhere", () => {
    expect(replace('{"mounts":[{"path":"/m"}],"x":"\\"root\\":","root":{"path":"/a\\u003c"},"path":1}')).toBe(
      '{"mounts":[{"path":"/m"}],"x":"\\"root\\":","root":{"path":"N"},"path":1}',
    );
  });

  it("replaces the last of two equal keys, which is the one that parsers take", () => {
    expect(replace('{"root":{"path":"/a"},"root":{"path":"/b"}}')).toBe(
      '{"root":{"path":"/a"},"root":{"path":"N"}}',
    );
  });

  it("replaces objects, arrays and numbers whole", () => {
    expect(replace('{"v":{"a":[1,"}"]},"w":2}', ["v"])).toBe('{"v":"N","w":2}');
    expect(replace('{"v":[1,{"a":"]"}] ,"w":2}', ["v"])).toBe('{"v":"N" ,"w":2}');
    expect(replace('{"v":-1e3}', ["v"])).toBe('{"v":"N"}');
  });

  it("throws where there is nothing to replace", () => {
    expect(() => replace("{}")).toThrow("root.path");
  });
});
