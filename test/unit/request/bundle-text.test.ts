import { describe, expect, it } from "vitest";
import { VeneerError } from "../../../src/errors.ts";
import { readBundleConfig } from "../../../src/request/bundle-text.ts";

const read = (text: string, environment = false) => readBundleConfig(text, "config.json", environment);
const document = (rest: object) => JSON.stringify({ root: { path: "rootfs" }, ...rest });
const BASE = { annotations: { "run.veneer.base": "b" } };

describe("a container that names a base", () => {
  it.each([
    document(BASE),
    document(BASE).replace("run.veneer", "run\\u002eveneer"),
    document(BASE).replace("annotations", "\\u0061nnotations"),
    ` \n${document({ ...BASE, process: { env: ["NOTE=shared"] }, other: [{ shared: "shared" }] })}\n`,
    document({ annotations: { "run.veneer.instance": "i" } }),
  ])("%s", (text) => {
    expect(read(text)?.root.path).toBe("rootfs");
    expect(Object.keys(read(text)?.annotations ?? {})[0]).toMatch(/^run\.veneer\./);
  });

  it("with any of the name's characters as an escape, in either case of its digits", () => {
    const key = "run.veneer.base";
    for (let at = 0; at < key.length; at++) {
      const digits = key.charCodeAt(at).toString(16).padStart(4, "0");
      for (const written of [digits, digits.toUpperCase()]) {
        const text = document(BASE).replace(key, `${key.slice(0, at)}\\u${written}${key.slice(at + 1)}`);
        expect(read(text)?.annotations, text).toEqual(BASE.annotations);
      }
    }
  });

  it.each([
    ["a key twice", '{"annotations":{"run.veneer.base":"b"},"annotations":{},"root":{"path":"r"}}'],
    [
      "a key twice, the other way",
      '{"annotations":{},"annotations":{"run.veneer.base":"b"},"root":{"path":"r"}}',
    ],
    [
      "an annotation twice",
      '{"annotations":{"run.veneer.base":"b","run\\u002eveneer.base":"c"},"root":{"path":"r"}}',
    ],
    ["Annotations", document(BASE).replace("annotations", "Annotations")],
    [
      "ANNOTATIONS with escapes",
      document(BASE).replace("annotations", "\\u0041NNOTATION\\u0053").replace(".", "\\u002e"),
    ],
    ["Root", document(BASE).replace("root", "Root")],
    ["root.Path", document(BASE).replace('"path"', '"Path"')],
    ["a trailing NUL", `${document(BASE)}\0`],
    ["another document behind", `${document(BASE)}{}`],
    ["a NUL in a key", document(BASE).replace("annotations", "annotations\\u0000")],
    ["a byte order mark", `\ufeff${document(BASE)}`],
    ["bytes that are not UTF-8", document({ ...BASE, x: "\udcff" }).replace("\\udcff", "\udcff")],
    ["a path with half a surrogate pair", document(BASE).replace("rootfs", "\\udc80")],
    ["a cut text", document(BASE).slice(0, -1)],
    ["a comment", document(BASE).replace("{", "{/**/")],
    ["deep nesting", document({ ...BASE, x: JSON.parse("[".repeat(90) + "]".repeat(90)) })],
  ])("is refused with %s", (_what, text) => {
    expect(() => read(text)).toThrow(VeneerError);
    expect(() => read(text)).toThrow("is not JSON");
  });

  it("is refused when what is used of it is not valid", () => {
    expect(() => read(JSON.stringify(BASE))).toThrow("root");
    expect(() => read(document({ annotations: { "run.veneer.base": 1 } }))).toThrow("annotations");
  });
});

describe("a container that names none is left alone", () => {
  it.each([
    document({}),
    document({ annotations: { other: "run.veneer.base", "xrun.veneer.base": "b" } }),
    document({ process: { env: ["X=run.veneer.base", "run.veneer.base=b"], args: ["run.veneer."] } }),
    document({ annotations: null }),
    document({ annotations: ["run.veneer.base"] }),
    '{"root":{"path":"a"},"root":{"path":"b"},"Root":1}',
    "{}",
    "null",
    "[]",
    "",
    "not JSON",
    "{}\0",
  ])("%s", (text) => expect(read(text)).toBeUndefined());
});

describe("its environment", () => {
  const named = document({ process: { env: ["VENEER_BASE=b"] } });
  it("names a base where the configuration allows it", () => {
    expect(read(named)).toBeUndefined();
    expect(read(named, true)).toBeDefined();
    expect(() => read(`${named}x`, true)).toThrow("is not JSON");
    expect(read(`${named}x`)).toBeUndefined();
  });
});
