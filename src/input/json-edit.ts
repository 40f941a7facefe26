/**
 * Edits to the text of a JSON document that leave every other byte as it is: a document that is parsed and
 * written again loses what JavaScript's numbers cannot hold (limits up to 2^64-1 occur in config.json).
 * The text must have been parsed before: it is taken to be well formed.
 */

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Appends `element` (JSON text) to the array at `path`; objects and the array are made where absent or null. */
export function appendToArray(text: string, path: readonly string[], element: string): string {
  let span = valueAt(text, skipSpace(text, 0));
  for (const [depth, key] of path.entries()) {
    const member = memberSpan(text, span, key);
    const rest = path.slice(depth + 1);
    if (!member) return insertFirst(text, span, `${JSON.stringify(key)}:${wrap(rest, element)}`);
    if (text.startsWith("null", member.start)) return splice(text, member, wrap(rest, element));
    span = member;
  }
  const last = skipSpaceBack(text, span.end - 1);
  return splice(text, { start: last, end: last }, text[last - 1] === "[" ? element : `,${element}`);
}

/** `{"a":{"b":[element]}}` for the path a, b below the value that is made. */
function wrap(path: readonly string[], element: string): string {
  return path.reduceRight((inner, key) => `{${JSON.stringify(key)}:${inner}}`, `[${element}]`);
}

function insertFirst(text: string, object: Span, member: string): string {
  const first = object.start + 1;
  const empty = text[skipSpace(text, first)] === "}";
  return splice(text, { start: first, end: first }, empty ? member : `${member},`);
}

function splice(text: string, span: Span, replacement: string): string {
  return text.slice(0, span.start) + replacement + text.slice(span.end);
}

/** The value of a member of an object; of the last one where a key occurs twice, as parsers take it. */
function memberSpan(text: string, object: Span, key: string): Span | undefined {
  let found: Span | undefined;
  let at = skipSpace(text, object.start + 1);
  while (text[at] === '"') {
    const name = valueAt(text, at);
    const value = valueAt(text, skipSpace(text, skipSpace(text, name.end) + 1));
    if (JSON.parse(text.slice(name.start, name.end)) === key) found = value;
    at = skipSpace(text, value.end);
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return found;
}

/** The extent of the value that begins at `start`. */
function valueAt(text: string, start: number): Span {
  const first = text[start];
  if (first === '"') return { start, end: stringEnd(text, start) };
  let at = start;
  if (first !== "{" && first !== "[") {
    while (at < text.length && !",]} \t\r\n".includes(text[at] as string)) at++;
    return { start, end: at };
  }
  for (let depth = 0; at < text.length; ) {
    const character = text[at];
    if (character === '"') {
      at = stringEnd(text, at);
      continue;
    }
    if (character === "{" || character === "[") depth++;
    if (character === "}" || character === "]") depth--;
    at++;
    if (depth === 0) break;
  }
  return { start, end: at };
}

function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
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
