/** JSON documents: of bounded size, validated when read, published atomically. */
import { VeneerError } from "../errors.ts";
import { DOCUMENT_LIMIT, readText, replaceFile } from "../sys/fd.ts";
import { checkDocument, type Validator } from "./check-document.ts";

export type { Validator };

/** Parses and validates a document; throws an error that names the document and the invalid place in it. */
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

/** The parser's error, cut short because it may quote the input. */
function plain(cause: unknown, text: string): Error {
  if (isNestedDeeply(text)) return new Error("nested too deeply");
  return new Error(cause instanceof Error ? cause.message.slice(0, 100) : "parse error");
}

/** Whether a text that failed to parse is nested too deeply for a parser's stack. Counts brackets in strings too. */
function isNestedDeeply(text: string): boolean {
  let depth = 0;
  for (const character of text.slice(0, 100_000)) {
    if (character === "[" || character === "{") depth++;
    else if (character === "]" || character === "}") depth--;
    if (depth > 1000) return true;
  }
  return false;
}

/** Reads one of our documents; undefined where the file does not exist. Throws EFBIG above DOCUMENT_LIMIT bytes. */
export function readDocument<T>(path: string, validate: Validator, hint?: string): T | undefined {
  const text = readText(path, undefined, DOCUMENT_LIMIT);
  return text === undefined ? undefined : parseDocument<T>(text, path, validate, hint);
}

/** Replaces a document atomically, by rename; with `sync` it is durable on return. */
export function writeDocument(path: string, data: object, options: { sync?: boolean } = {}): void {
  replaceFile(path, `${JSON.stringify(data)}\n`, options);
}
