/**
 * Edits tables in a TOML file that is not ours; toml-patch keeps the comments, order and spacing of everything else.
 */
import { isDeepStrictEqual } from "node:util";
import { parse, patch } from "@decimalturn/toml-patch";
import type { FileChange } from "./engine.ts";
import { notUnderstood } from "./not-understood.ts";

type Table = { [key: string]: unknown };

/**
 * Sets the table at `key`, which depends on the document, to `value`, which depends on the neighbours of the table.
 * `fresh` is the whole text for a missing file. `defaults` are added next to the table when its parent is new: as soon
 * as the file has the parent, the engine's own defaults for it no longer apply.
 */
export function tomlTable(
  path: string,
  fresh: string,
  key: (document: Table) => readonly string[],
  value: (beside: Table) => Table,
  defaults: Table,
): FileChange {
  return {
    path,
    add(text) {
      if (text === undefined) return fresh;
      const document = read(path, text);
      return edit(path, text, document, key(document), value, defaults);
    },
    remove(text) {
      const document = read(path, text);
      return edit(path, text, document, key(document), undefined);
    },
  };
}

function edit(
  path: string,
  text: string,
  document: Table,
  key: readonly string[],
  value: ((beside: Table) => Table) | undefined,
  defaults: Table = {},
): string {
  const wanted = structuredClone(document);
  const tables = [wanted];
  let table = wanted;
  for (const [depth, part] of key.slice(0, -1).entries()) {
    if (table[part] === undefined && value === undefined) return text;
    table[part] ??= depth === key.length - 2 ? { ...defaults } : {};
    if (typeof table[part] !== "object" || Array.isArray(table[part])) {
      throw notUnderstood(path, `${part} is not a table`);
    }
    table = table[part] as Table;
    tables.push(table);
  }
  const last = key.at(-1) as string;
  const wish = value?.(structuredClone(table));
  if (isDeepStrictEqual(structuredClone(table[last]), wish)) return text;
  if (wish !== undefined) table[last] = wish;
  else removeAndPrune(tables, key);
  const changed = patch(text, wanted);
  // structuredClone because the parser's tables have no prototype
  if (!isDeepStrictEqual(structuredClone(read(path, changed)), structuredClone(wanted))) {
    throw notUnderstood(path, "it could not be edited in place");
  }
  return changed;
}

/** Deletes the last key, and each table above it that becomes empty. */
function removeAndPrune(tables: readonly Table[], key: readonly string[]): void {
  for (let depth = key.length - 1; depth >= 0; depth--) {
    delete (tables[depth] as Table)[key[depth] as string];
    if (Object.keys(tables[depth] as Table).length > 0) return;
  }
}

function read(path: string, text: string): Table {
  try {
    return parse(text) as Table;
  } catch (error) {
    throw notUnderstood(
      path,
      error instanceof Error ? (error.message.split("\n")[0] as string) : "parse error",
    );
  }
}
