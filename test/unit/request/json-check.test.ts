import { describe, expect, it } from "vitest";
import { AmbiguousJson, DEPTH_LIMIT, parseUnambiguous, shapeOf } from "../../../src/request/json-check.ts";

const SHAPE = shapeOf({ annotations: null, mask: null, list: shapeOf({ type: null }) });
const parse = (text: string) => parseUnambiguous(text, SHAPE);
const nested = (depth: number) => `${"[".repeat(depth)}1${"]".repeat(depth)}`;

it.each([
  "{}",
  "[]",
  "1",
  '"a"',
  ' \t\r\n{ "a" : [ 1 , -2.5e3 , true , null , "" ] , "b" : { } } \n',
  '{"a":"\\"b\\\\","c":"\\\\\\"","d":"}]"}',
  '{"annotations":{"Case":"1","case":"2"},"unknown":{"A":1,"a":2}}',
  '{"a":"\\ud83d\\ude00","b":"😀","c":"\\u00e9","__proto__":1,"constructor":2}',
  '{"list":[{"type":1},{"type":2}]}',
  nested(DEPTH_LIMIT),
])("%s is taken as JSON.parse takes it", (text) => expect(parse(text)).toEqual(JSON.parse(text)));

describe("is ambiguous:", () => {
  it.each([
    ["a key twice", '{"a":1,"b":2,"a":3}', /"a" twice/],
    ["a key twice, by an escape", '{"a":1,"\\u0061":3}', /"a" twice/],
    ["a key twice far inside", '{"x":[[{"y":{"a":1,"a":1}}]]}', /"a" twice/],
    ["__proto__ twice", '{"__proto__":1,"__proto__":1}', /"__proto__" twice/],
    ["another case", '{"Annotations":{}}', /"Annotations", which some runtimes take for annotations/],
    ["another case beside the field", '{"annotations":{},"ANNOTATIONS":{}}', /take for annotations/],
    ["another case by an escape", '{"\\u0041nnotations":{}}', /take for annotations/],
    ["the Kelvin sign for k", '{"mas\u212a":1}', /take for mask/],
    ["a long s for s", '{"annotation\u017f":1}', /take for annotations/],
    ["another case in an array", '{"list":[{"type":1},{"Type":2}]}', /take for type/],
    ["a NUL", '{"a":"\\u0000"}', /NUL/],
    ["a NUL in a key", '{"annotations\\u0000x":1}', /NUL/],
    ["half a surrogate pair", '{"a":"\\udcff"}', /surrogate/],
    ["a NUL behind", "{}\0", /after the end/],
    ["a second document", "{}{}", /after the end/],
    ["bytes that are not UTF-8", '{"a":"\udcff"}', /not UTF-8/],
    ["too deep nesting", nested(DEPTH_LIMIT + 1), /nested/],
    ["very deep nesting", nested(1_000_000), /nested/],
  ])("%s", (_what, text, message) => {
    expect(() => parse(text)).toThrow(AmbiguousJson);
    expect(() => parse(text)).toThrow(message);
  });
});

it.each([
  "",
  " ",
  "{",
  "}",
  '{"a"',
  '{"a":',
  '{"a":1',
  '{"a":1,}',
  '{"a" 1}',
  "{a:1}",
  "{'a':1}",
  "[1,]",
  "[1 2]",
  "[,]",
  '"a',
  '"\\"',
  '{"a":01}',
  '{"a":+1}',
  '{"a":.5}',
  '{"a":1.}',
  '{"a":NaN}',
  '{"a":undefined}',
  '{"a":"\n"}',
  '{"a":"\\x"}',
  '{"a":"\\u12"}',
  "{}//",
  "\ufeff{}",
  "\u00a0{}",
  "{}\u00a0",
  '{"a":1}}',
  "/**/{}",
])("%j is no JSON, as to JSON.parse", (text) => {
  expect(() => JSON.parse(text)).toThrow();
  expect(() => parse(text)).toThrow();
});

/** Small documents with what could deceive a quick look: keys that occur twice, colons in strings, escapes, cases. */
function randomText(next: (below: number) => number, depth = 0): string {
  const space = ["", "", " ", "\n\t"][next(4)] as string;
  const strings = [
    "a",
    "b",
    "a:b",
    "::",
    "Type",
    "type",
    "annotations",
    'k\\"',
    "\\\\",
    '\\"a\\":1',
    "\\u003a",
    "é",
  ];
  const string = () => `"${strings[next(strings.length)]}"`;
  const kind = next(depth > 3 ? 3 : 6);
  if (kind === 0) return `${space}${string()}`;
  if (kind === 1) return `${["1", "-2.5e3", "true", "null"][next(4)]}${space}`;
  if (kind === 2) return ["{}", "[]", "{", "01", "[,]"][next(next(4) === 0 ? 5 : 2)] as string;
  const parts = Array.from({ length: next(4) }, () =>
    kind === 3 ? randomText(next, depth + 1) : `${space}${string()}${space}:${randomText(next, depth + 1)}`,
  );
  return kind === 3 ? `[${parts.join(`${space},`)}]` : `{${parts.join(",")}${space}}`;
}

it("judges a text without \\u, which it looks at quickly, as the same one with", () => {
  let seed = 1;
  const next = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const verdict = (text: string) => {
    try {
      return JSON.stringify(parse(text));
    } catch (error) {
      return error instanceof AmbiguousJson ? "ambiguous" : "no JSON";
    }
  };
  const seen: Record<string, number> = {};
  for (let round = 0; round < 2000; round++) {
    const text = randomText(next);
    const result = verdict(`[" ",${text}]`);
    expect(verdict(`["\\u0020",${text}]`), text).toBe(result);
    const kind = result === "ambiguous" || result === "no JSON" ? result : "JSON";
    seen[kind] = (seen[kind] ?? 0) + 1;
  }
  // each of them often enough
  expect(Math.min(...["ambiguous", "no JSON", "JSON"].map((kind) => seen[kind] ?? 0))).toBeGreaterThan(50);
});

it("takes time in proportion to the text", () => {
  const time = (count: number) => {
    const text = `{"a":[${Array.from({ length: count }, (_, index) => `{"k${index}":"\\\\\\"x"}`).join(",")}]}`;
    const begin = performance.now();
    parse(text);
    return performance.now() - begin;
  };
  time(10_000);
  expect(time(80_000)).toBeLessThan(60 * Math.max(time(10_000), 1));
});
