/**
 * Edits to the text of a config.json that leave every other byte as it is: a document that is parsed and written again
 * loses what JavaScript's numbers cannot hold (limits up to 2^64-1 occur). The text must be one that
 * `parseUnambiguous` has taken.
 */
import { locate, skipSpace } from "./json-locate.ts";

/**
 * Appends `element` (JSON text) to the array at `path`; objects and the array are made where they are absent or null.
 * Throws where something else is in the way.
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
    // behind the last one: an array keeps its order, and a parser that took the first of two keys would take it too
    const at = isEmpty ? start + 1 : lastEnd(text, end - 1);
    return text.slice(0, at) + (isEmpty ? "" : ",") + added + text.slice(at);
  }
  throw new Error("the document is empty");
}

/** Replaces the value at `path`, which must be there, by `value` (JSON text). */
export function replaceValue(text: string, path: readonly (string | number)[], value: string): string {
  const span = locate(text, path);
  if (!span) throw new Error(`there is no ${path.join(".")}`);
  return text.slice(0, span.start) + value + text.slice(span.end);
}

/** `{"a":{"b":[element]}}` for the path a, b. */
function wrap(path: readonly string[], element: string): string {
  return path.reduceRight((inner, key) => `{${JSON.stringify(key)}:${inner}}`, `[${element}]`);
}

/** The position just behind the last character before `from` that is not white space. */
function lastEnd(text: string, from: number): number {
  let at = from;
  while (" \t\r\n".includes(text[at - 1] ?? "x")) at--;
  return at;
}
