import { describe, expect, it } from "vitest";
import { appendToArray, replaceValue } from "../../../src/request/bundle-edit.ts";
import { locate } from "../../../src/request/json-locate.ts";

const append = (text: string) => appendToArray(text, ["hooks", "poststop"], '"X"');

describe("appendToArray", () => {
  it.each([
    // what is absent is made behind the rest, which stays byte for byte
    ['{"a": 18446744073709551615 }', '{"a": 18446744073709551615,"hooks":{"poststop":["X"]} }'],
    ["{ }", '{"hooks":{"poststop":["X"]} }'],
    ['\n{"hooks":{"prestart":[]}}\n', '\n{"hooks":{"prestart":[],"poststop":["X"]}}\n'],
    ['{"hooks":null}', '{"hooks":{"poststop":["X"]}}'],
    ['{"hooks":{"poststop":null}}', '{"hooks":{"poststop":["X"]}}'],
    ['{"hooks":{"poststop":[ ]}}', '{"hooks":{"poststop":["X" ]}}'],
    ['{"hooks":{"poststop":[{"path":"/a]}\\""} ]}}', '{"hooks":{"poststop":[{"path":"/a]}\\""},"X" ]}}'],
    // no key of an inner object or a string is taken for the one
    ['{"a":"hooks","hooks":{}}', '{"a":"hooks","hooks":{"poststop":["X"]}}'],
    [
      '{"a":{"hooks":[]},"b":"\\"hooks\\":","hooks":{}}',
      '{"a":{"hooks":[]},"b":"\\"hooks\\":","hooks":{"poststop":["X"]}}',
    ],
    // a key by its meaning, however it is written
    ['{"h\\u006foks":{"poststop":[1]}}', '{"h\\u006foks":{"poststop":[1,"X"]}}'],
    ['{"hooks":{"x\\\\":1}}', '{"hooks":{"x\\\\":1,"poststop":["X"]}}'],
  ])("%s", (text, expected) => {
    expect(append(text)).toBe(expected);
    JSON.parse(expected);
  });

  it("throws where something else is in the way", () => {
    expect(() => append('{"hooks":[]}')).toThrow("hooks");
    expect(() => append('{"hooks":{"poststop":{}}}')).toThrow("hooks.poststop");
  });
});

describe("replaceValue", () => {
  it.each([
    [
      '{ "a":18446744073709551615,\n"root" : { "readonly":true, "path" :\t"/x" } }',
      ["root", "path"],
      '{ "a":18446744073709551615,\n"root" : { "readonly":true, "path" :\t"N" } }',
    ],
    [
      '{"mounts":[{"path":"/m"}],"x":"\\"root\\":","root":{"path":"/a\\u003c"},"path":1}',
      ["root", "path"],
      '{"mounts":[{"path":"/m"}],"x":"\\"root\\":","root":{"path":"N"},"path":1}',
    ],
    ['{"v":{"a":[1,"}"]},"w":2}', ["v"], '{"v":"N","w":2}'],
    ['{"v":[1,{"a":"]"}] ,"w":2}', ["v"], '{"v":"N" ,"w":2}'],
    ['{"v":-1e3}', ["v"], '{"v":"N"}'],
    ['{"v":[{"s":1},[2] , {"s": "x,]"} ]}', ["v", 2, "s"], '{"v":[{"s":1},[2] , {"s": "N"} ]}'],
  ])("%s", (text, path, expected) => expect(replaceValue(text, path, '"N"')).toBe(expected));

  it.each([
    ["{}", ["root", "path"]],
    ["[]", [0]],
    ["[1]", [1]],
    ['{"a":"b"}', ["a", "b"]],
  ])("throws where there is nothing to replace: %s", (text, path) => {
    expect(locate(text, path)).toBeUndefined();
    expect(() => replaceValue(text, path, "1")).toThrow("there is no");
  });
});

describe("locate", () => {
  it("ends in a text that is not JSON", () => {
    const text = '{"a":[1,-2.5e3,true,null,"\\ud83d\\ude"a":[1,-2.5e3,true,nul_"e,nulb":{"c":[[[]]]';
    for (let end = 0; end <= text.length; end++) {
      for (const path of [["annotations", "run.veneer.base"], ["a", 5], ["e,nulb", "c", 0], [0]]) {
        try {
          const found = locate(text.slice(0, end), path);
          if (found) expect(found.end).toBeLessThanOrEqual(end);
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError);
        }
      }
    }
  });
});
