/**
 * Edits to the text of a JSON document that leave every other byte as it is: a document that is parsed and
 * written again loses what JavaScript's numbers cannot hold (limits up to 2^64-1 occur in config.json).
 * The text must have been parsed before: it is taken to be well formed.
 */

/**
 * Appends `element` (JSON text) to the array at `path`; objects and the array are made where absent or null.
 * `document` is the parsed text.
 */
export function appendToArray(
  text: string,
  document: unknown,
  path: readonly string[],
  element: string,
): string {
  let at = skipSpace(text, 0);
  let value = document;
  for (const [depth, key] of path.entries()) {
    const rest = path.slice(depth + 1);
    const inner = (value as Record<string, unknown>)[key];
    if (inner === undefined) return insertFirst(text, at, `${JSON.stringify(key)}:${wrap(rest, element)}`);
    at = memberStart(text, at, key);
    if (inner === null) return text.slice(0, at) + wrap(rest, element) + text.slice(at + "null".length);
    value = inner;
  }
  const end = skipSpaceBack(text, valueEnd(text, at) - 1);
  return text.slice(0, end) + (text[end - 1] === "[" ? element : `,${element}`) + text.slice(end);
}

/** Replaces the value at `path`, which must be there, by `value` (JSON text). `document` is the parsed text. */
export function replaceValue(
  text: string,
  document: unknown,
  path: readonly string[],
  value: string,
): string {
  let at = skipSpace(text, 0);
  let inner = document;
  for (const key of path) {
    inner = (inner as Record<string, unknown> | null | undefined)?.[key];
    if (inner === undefined) throw new Error(`there is no ${path.join(".")}`);
    at = memberStart(text, at, key);
  }
  return text.slice(0, at) + value + text.slice(valueEnd(text, at));
}

/** `{"a":{"b":[element]}}` for the path a, b below the value that is made. */
function wrap(path: readonly string[], element: string): string {
  return path.reduceRight((inner, key) => `{${JSON.stringify(key)}:${inner}}`, `[${element}]`);
}

function insertFirst(text: string, object: number, member: string): string {
  const first = object + 1;
  const empty = text[skipSpace(text, first)] === "}";
  return text.slice(0, first) + member + (empty ? "" : ",") + text.slice(first);
}

/**
 * Where the value of a member begins that the object at `object` is known to have; of the last one where a key
 * occurs twice, as parsers take it. A key that stands once in the text needs no scan, unless it is a string.
 */
function memberStart(text: string, object: number, key: string): number {
  const quoted = JSON.stringify(key);
  const once = text.indexOf(quoted);
  const colon = skipSpace(text, once + quoted.length);
  const plain =
    once > object && text.lastIndexOf(quoted) === once && text[colon] === ":" && !text.includes("\\");
  return plain ? skipSpace(text, colon + 1) : scanForMember(text, object, key);
}

function scanForMember(text: string, object: number, key: string): number {
  let found = -1;
  let at = skipSpace(text, object + 1);
  while (text[at] === '"') {
    const nameEnd = valueEnd(text, at);
    const value = skipSpace(text, skipSpace(text, nameEnd) + 1);
    if (JSON.parse(text.slice(at, nameEnd)) === key) found = value;
    at = skipSpace(text, valueEnd(text, value));
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return found;
}

/** Brackets and whole strings: what decides where a value ends. */
const TOKEN = /[{}[\]]|"(?:[^"\\]|\\.)*"/g;
const SCALAR = /[^,\]} \t\r\n]*/y;

/** The position behind the value that begins at `start`. */
function valueEnd(text: string, start: number): number {
  const first = text[start];
  if (first !== '"' && first !== "{" && first !== "[") {
    SCALAR.lastIndex = start;
    SCALAR.exec(text);
    return SCALAR.lastIndex;
  }
  TOKEN.lastIndex = start;
  for (let depth = 0; ; ) {
    const token = TOKEN.exec(text)?.[0];
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    if (depth === 0 || token === undefined) return TOKEN.lastIndex;
  }
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (" \t\r\n".includes(text[at] ?? "x")) at++;
  return at;
}

/** The position just behind the last character before `from` that is not white space. */
function skipSpaceBack(text: string, from: number): number {
  let at = from;
  while (" \t\r\n".includes(text[at - 1] ?? "x")) at--;
  return at;
}
