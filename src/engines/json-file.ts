/** Edits keys in a JSON file that is not ours; jsonc-parser keeps the order and spacing of everything else. */
import { applyEdits, modify, type ParseError, parse, printParseErrorCode } from "jsonc-parser";
import type { FileChange } from "./engine.ts";
import { notUnderstood } from "./not-understood.ts";

type Document = { [key: string]: unknown };

/** Sets `key` to `value`, in a file that is strict JSON. */
export function jsonKey(path: string, key: readonly string[], value: unknown): FileChange {
  return {
    path,
    add: (text = "") => edit(path, text.trim() === "" ? "{}\n" : text, key, value),
    remove: (text) => edit(path, text, key, undefined),
  };
}

function edit(path: string, text: string, key: readonly string[], value: unknown): string {
  let parent = read(path, text);
  for (const part of key.slice(0, -1)) {
    const inner = parent[part];
    if (inner === undefined && value === undefined) return text;
    if (inner !== undefined && !isDocument(inner)) throw notUnderstood(path, `"${part}" is not an object`);
    parent = inner ?? {};
  }
  const now = parent[key.at(-1) as string];
  if (JSON.stringify(now) === JSON.stringify(value)) return text;
  // with formatting options, modify would reformat the neighbours of what it inserts too
  const empty = Object.keys(read(path, text)).length === 0;
  const options = empty ? { formattingOptions: { tabSize: 2, insertSpaces: true, eol: "\n" } } : {};
  const changed = applyEdits(text, modify(text, [...key], value, options));
  read(path, changed);
  return changed;
}

function read(path: string, text: string): Document {
  const errors: ParseError[] = [];
  const document: unknown = parse(text, errors, { disallowComments: true, allowTrailingComma: false });
  const [error] = errors;
  if (error) throw notUnderstood(path, `${printParseErrorCode(error.error)} at character ${error.offset}`);
  if (!isDocument(document)) throw notUnderstood(path, "it is not an object");
  return document;
}

function isDocument(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
