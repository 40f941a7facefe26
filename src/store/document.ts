/** JSON documents: bounded, validated, published whole. */
import { VeneerError } from "../errors.ts";
import { DOCUMENT_LIMIT, readText, replaceFile } from "../sys/fd.ts";
import { checkDocument, type Validator } from "./check-document.ts";

export type { Validator };

/** Parses and validates; throws an error that names the document and the place in it that is wrong. */
export function parseDocument<T>(text: string, name: string, validate: Validator, hint?: string): T {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    const empty = text.trim() === "" ? "is empty" : `is not JSON (${text.length} characters)`;
    throw new VeneerError("BAD_DOCUMENT", `${name} ${empty}`, { cause: plain(cause, text), hint });
  }
  return checkDocument(data, name, validate, hint);
}

/** A parser's error without the input that it may quote. */
function plain(cause: unknown, text: string): Error {
  if (isNestedDeeply(text)) return new Error("nested too deeply");
  return new Error(cause instanceof Error ? cause.message.slice(0, 100) : "parse error");
}

/** Whether a text that no parser took has more levels than one has stack for; brackets in strings count too. */
function isNestedDeeply(text: string): boolean {
  let depth = 0;
  for (const character of text.slice(0, 100_000)) {
    if (character === "[" || character === "{") depth++;
    else if (character === "]" || character === "}") depth--;
    if (depth > 1000) return true;
  }
  return false;
}

/** A document of ours, or undefined where there is none. */
export function readDocument<T>(path: string, validate: Validator, hint?: string): T | undefined {
  const text = readText(path, undefined, DOCUMENT_LIMIT);
  return text === undefined ? undefined : parseDocument<T>(text, path, validate, hint);
}

/** Publishes a document by rename; with `sync` it survives a power loss when this returns. */
export function writeDocument(path: string, data: object, options: { sync?: boolean } = {}): void {
  replaceFile(path, `${JSON.stringify(data)}\n`, options);
}
