/**
 * Whether all parsers that will read a JSON text read it alike. Go's encoding/json merges keys that occur twice or
 * differ only in case, and stops after the first value. yajl takes the first of two equal keys, and C strings end at a
 * NUL. JavaScript takes the last of two keys. One pass, linear in the text. JSON.parse checks the grammar.
 */

/** The fields of an object that matter. Go also accepts them in other case. Created by {@link shapeOf}. */
export interface Shape {
  /** null for a field whose value has no shape */
  readonly fields: ReadonlyMap<string, Shape | null>;
  /** case-folded as in Go, indexed by length */
  readonly folded: readonly (readonly string[] | undefined)[];
}

/** Makes a shape from the names of its fields; null for a field whose value has no shape. */
export function shapeOf(fields: Readonly<Record<string, Shape | null>>): Shape {
  const folded: string[][] = [];
  // only single characters fold to an ASCII letter, so keys that Go considers equal have the same length
  for (const name of Object.keys(fields)) folded[name.length] = [...(folded[name.length] ?? []), fold(name)];
  return { fields: new Map(Object.entries(fields)), folded };
}

/** Deepest nesting of a document; config.json has 8 levels. */
export const DEPTH_LIMIT = 64;

/** In the indented form, a line that is indented this far is nested in DEPTH_LIMIT levels. */
const TOO_DEEP = `\n${" ".repeat(DEPTH_LIMIT)}`;

/** The message says what makes the document ambiguous. */
export class AmbiguousJson extends Error {}

/**
 * Parses a text. Throws AmbiguousJson when parsers would read it differently, SyntaxError when it is not JSON. `shape`
 * describes the objects whose fields matter, also inside arrays.
 */
export function parseUnambiguous(text: string, shape: Shape): unknown {
  return parseOrdinary(text, shape) ?? parseWithCare(text, shape);
}

/** Longer texts go to {@link parseWithCare}, whose memory does not grow with the text. */
const ORDINARY = 1 << 20;

/**
 * The data of a text that is certainly unambiguous, by few calls of the engine; undefined for any other. Without `\u` a
 * colon in the text is one behind a key, or one in a string that the data has too. So the data, written again, has as
 * many, but fewer where a key occurs twice: of two such members only one is left. In the indented form a level is a space.
 */
function parseOrdinary(text: string, shape: Shape): unknown {
  if (text.length > ORDINARY || text.includes("\\u") || !text.isWellFormed()) return undefined;
  let data: unknown;
  let again: string;
  try {
    data = JSON.parse(text);
    again = JSON.stringify(data, null, " ");
  } catch {
    // no JSON, or nested too deeply for the engine
    return undefined;
  }
  if (again.indexOf(TOO_DEEP) >= 0 || count(text, ":") !== count(again, ":")) return undefined;
  checkKeys(data, shape);
  return data;
}

function count(text: string, character: string): number {
  return text.split(character).length;
}

function checkKeys(data: unknown, shape: Shape): void {
  if (Array.isArray(data)) {
    for (let index = 0; index < data.length; index++) checkKeys(data[index], shape);
  } else if (typeof data === "object" && data !== null) {
    const keys = Object.keys(data);
    for (let index = 0; index < keys.length; index++) {
      const key = keys[index] as string;
      const inner = fieldShape(shape, key);
      if (inner) checkKeys((data as Record<string, unknown>)[key], inner);
    }
  }
}

function parseWithCare(text: string, shape: Shape): unknown {
  if (!text.isWellFormed()) throw new AmbiguousJson("bytes that are not UTF-8");
  const check: Check = { text, decodes: text.includes("\\u") };
  const end = skipSpace(text, checkValue(check, skipSpace(text, 0), shape, 0));
  if (end !== text.length) throw new AmbiguousJson("text after the end of the document");
  return JSON.parse(text);
}

interface Check {
  readonly text: string;
  /** strings may have escapes that stand for any character */
  readonly decodes: boolean;
}

const QUOTE = 34;
const BACKSLASH = 92;
const COMMA = 44;
const COLON = 58;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;

/** Checks the value at `at`. Returns the position after it. */
function checkValue(check: Check, at: number, shape: Shape | null | undefined, depth: number): number {
  const { text } = check;
  const first = text.charCodeAt(at);
  if (first === QUOTE) return checkString(check, at);
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return scalarEnd(text, at);
  if (depth === DEPTH_LIMIT) throw new AmbiguousJson(`nested too deeply: more than ${DEPTH_LIMIT} levels`);
  return first === OPEN_OBJECT
    ? checkObject(check, at, shape, depth + 1)
    : checkArray(check, at, shape, depth + 1);
}

function checkArray(check: Check, from: number, shape: Shape | null | undefined, depth: number): number {
  const { text } = check;
  let at = skipSpace(text, from + 1);
  if (text.charCodeAt(at) === CLOSE_ARRAY) return at + 1;
  for (;;) {
    at = skipSpace(text, checkValue(check, at, shape, depth));
    const next = text.charCodeAt(at);
    if (next === CLOSE_ARRAY) return at + 1;
    if (next !== COMMA) throw malformed(at);
    at = skipSpace(text, at + 1);
  }
}

function checkObject(check: Check, from: number, shape: Shape | null | undefined, depth: number): number {
  const { text } = check;
  const keys: string[] = [];
  let at = skipSpace(text, from + 1);
  if (text.charCodeAt(at) === CLOSE_OBJECT) return at + 1;
  for (;;) {
    if (text.charCodeAt(at) !== QUOTE) throw malformed(at);
    const end = checkString(check, at);
    const raw = text.slice(at + 1, end - 1);
    const key = raw.includes("\\") ? (JSON.parse(text.slice(at, end)) as string) : raw;
    keys.push(key);
    at = skipSpace(text, end);
    if (text.charCodeAt(at) !== COLON) throw malformed(at);
    at = skipSpace(text, checkValue(check, skipSpace(text, at + 1), fieldShape(shape, key), depth));
    const next = text.charCodeAt(at);
    if (next === CLOSE_OBJECT) break;
    if (next !== COMMA) throw malformed(at);
    at = skipSpace(text, at + 1);
  }
  if (keys.length > 1 && new Set(keys).size < keys.length) {
    throw new AmbiguousJson(`the key ${JSON.stringify(repeated(keys))} twice in one object`);
  }
  return at + 1;
}

function repeated(keys: readonly string[]): string | undefined {
  const seen = new Set<string>();
  return keys.find((key) => seen.size === seen.add(key).size);
}

/**
 * The shape of a member's value; null or undefined if it has none. Throws for a key that only Go accepts as a field.
 */
function fieldShape(shape: Shape | null | undefined, key: string): Shape | null | undefined {
  if (!shape) return undefined;
  const inner = shape.fields.get(key);
  if (inner !== undefined) return inner;
  const alike = shape.folded[key.length]?.indexOf(fold(key)) ?? -1;
  if (alike < 0) return undefined;
  const field = [...shape.fields.keys()].find((name) => fold(name) === fold(key));
  throw new AmbiguousJson(`the key ${JSON.stringify(key)}, which some runtimes take for ${field}`);
}

/** Folds a key as Go does, where U+212A equals k and U+017F equals s. */
function fold(key: string): string {
  return key.toUpperCase().toLowerCase();
}

/** Checks a string. Returns the position after it. */
function checkString(check: Check, from: number): number {
  const { text } = check;
  let at = from;
  do {
    at = text.indexOf('"', at + 1);
    if (at < 0) throw malformed(from);
  } while (text.charCodeAt(at - 1) === BACKSLASH && isEscaped(text, at));
  if (check.decodes) checkEscapes(text.slice(from, at + 1));
  return at + 1;
}

/** Whether the number of backslashes before `at` is odd. */
function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text.charCodeAt(first - 1) === BACKSLASH) first--;
  return (at - first) % 2 === 1;
}

function checkEscapes(quoted: string): void {
  if (!quoted.includes("\\u")) return;
  const value = JSON.parse(quoted) as string;
  if (value.includes("\0")) throw new AmbiguousJson("a string with a NUL character");
  if (!value.isWellFormed()) throw new AmbiguousJson("a string with half a surrogate pair");
}

function scalarEnd(text: string, from: number): number {
  let at = from;
  for (let code = text.charCodeAt(at); code > 32 && code !== COMMA; code = text.charCodeAt(++at)) {
    if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) break;
  }
  if (at === from) throw malformed(at);
  return at;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  for (let code = text.charCodeAt(at); code <= 32; code = text.charCodeAt(++at)) {
    if (code !== 32 && code !== 10 && code !== 13 && code !== 9) break;
  }
  return at;
}

function malformed(at: number): SyntaxError {
  return new SyntaxError(`syntax error at character ${at}`);
}
