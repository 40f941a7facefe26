/**
 * Edits the text of a config.json and leaves every other byte as it is: parsing and writing the document would lose
 * numbers that JavaScript cannot represent (limits up to 2^64-1 occur). `parseUnambiguous` must have accepted the text.
 */
import { locate, skipSpace } from "./json-locate.ts";

/**
 * Appends `element` (JSON text) to the array at `path`. Creates objects and the array where they are absent or null;
 * throws where there is a value of another type.
 */
export function appendToArray(text: string, path: readonly string[], element: string): string {
  for (let depth = path.length; depth >= 0; depth--) {
    const span = locate(text, path.slice(0, depth));
    if (!span) continue;
    const { start, end } = span;
    const value = text.slice(start, end);
    const rest = path.slice(depth);
    if (value === "null") return text.slice(0, start) + wrap(rest, element) + text.slice(end);
    const opening = rest.length === 0 ? "[" : "{";
    if (value[0] !== opening) throw new Error(`${path.slice(0, depth).join(".")} is not what it must be`);
    const [key, ...inner] = rest;
    const added = key === undefined ? element : `${JSON.stringify(key)}:${wrap(inner, element)}`;
    const isEmpty = skipSpace(text, start + 1) === end - 1;
    // after the last one: an array keeps its order, and a parser that takes the first of two keys takes this one too
    const at = isEmpty ? start + 1 : lastEnd(text, end - 1);
    return text.slice(0, at) + (isEmpty ? "" : ",") + added + text.slice(at);
  }
  throw new Error("the document is empty");
}

/** Replaces the value at `path`, which must exist, with `value` (JSON text). */
export function replaceValue(text: string, path: readonly (string | number)[], value: string): string {
  const span = locate(text, path);
  if (!span) throw new Error(`there is no ${path.join(".")}`);
  return text.slice(0, span.start) + value + text.slice(span.end);
}

/** `{"a":{"b":[element]}}` for the path a, b. */
function wrap(path: readonly string[], element: string): string {
  return path.reduceRight((inner, key) => `{${JSON.stringify(key)}:${inner}}`, `[${element}]`);
}

/** The position after the last non-space character before `from`. */
function lastEnd(text: string, from: number): number {
  let at = from;
  while (" \t\r\n".includes(text[at - 1] ?? "x")) at--;
  return at;
}
