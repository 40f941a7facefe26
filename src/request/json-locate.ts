/** Locates values in a JSON text, for edits that leave every other byte as it is. Linear in the text. */

export interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Locates the value at `path` (keys and indexes) in a text that {@link parseUnambiguous} has accepted; undefined where
 * there is none.
 */
export function locate(text: string, path: readonly (string | number)[]): Span | undefined {
  let start = skipSpace(text, 0);
  // nothing but white space follows the document
  if (path.length === 0) return { start, end: start + text.slice(start).trimEnd().length };
  if (!path.every((step) => mayHave(text, step))) return undefined;
  for (const step of path) {
    const found = typeof step === "number" ? element(text, start, step) : member(text, start, step);
    if (found === undefined) return undefined;
    start = found;
  }
  return { start, end: valueEnd(text, start) };
}

/** Whether a key could occur: without backslashes in the text, keys appear literally. */
function mayHave(text: string, step: string | number): boolean {
  return typeof step === "number" || text.includes(`"${step}"`) || text.includes("\\");
}

/** The position where the value of an object's member begins. */
function member(text: string, object: number, key: string): number | undefined {
  if (text[object] !== "{") return undefined;
  for (let at = skipSpace(text, object + 1); text[at] === '"'; ) {
    const end = stringEnd(text, at);
    const value = skipSpace(text, skipSpace(text, end) + 1);
    if (JSON.parse(text.slice(at, end)) === key) return value;
    at = skipSpace(text, valueEnd(text, value));
    if (text[at] === ",") at = skipSpace(text, at + 1);
  }
  return undefined;
}

function element(text: string, array: number, index: number): number | undefined {
  if (text[array] !== "[") return undefined;
  let at = skipSpace(text, array + 1);
  if (text[at] === "]") return undefined;
  for (let count = 0; count < index; count++) {
    at = skipSpace(text, valueEnd(text, at));
    if (text[at] !== ",") return undefined;
    at = skipSpace(text, at + 1);
  }
  return at;
}

/** The position after the value that begins at `start`. */
function valueEnd(text: string, start: number): number {
  const first = text[start];
  if (first === '"') return stringEnd(text, start);
  if (first !== "{" && first !== "[") {
    let at = start;
    while (at < text.length && !",]} \t\r\n".includes(text[at] as string)) at++;
    return at;
  }
  let depth = 0;
  for (let at = start; ; at++) {
    const code = text.charCodeAt(at);
    if (code === 34) at = stringEnd(text, at) - 1;
    else if (code === 123 || code === 91) depth++;
    else if ((code === 125 || code === 93) && --depth === 0) return at + 1;
    else if (Number.isNaN(code)) return at;
  }
}

function stringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); ; at = text.indexOf('"', at + 1)) {
    // only in a text that was not parsed before
    if (at < 0) return text.length;
    let first = at;
    while (text[first - 1] === "\\") first--;
    if ((at - first) % 2 === 0) return at + 1;
  }
}

/** The position of the first non-space character at or after `from`. */
export function skipSpace(text: string, from: number): number {
  let at = from;
  while (" \t\r\n".includes(text[at] ?? "x")) at++;
  return at;
}
