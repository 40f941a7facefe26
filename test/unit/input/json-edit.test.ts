import { describe, expect, it } from "vitest";
import { appendToArray } from "../../../src/input/json-edit.ts";

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
