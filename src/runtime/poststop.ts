/** The hook that releases what a container used, and its place in config.json. */
import { VeneerError } from "../errors.ts";
import type { Log } from "../report/event-log.ts";
import { appendToArray, replaceValue } from "../request/bundle-edit.ts";
import type { Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { MINIMAL_ENVIRONMENT } from "../sys/environment.ts";
import { ownExecutable } from "../sys/self.ts";

/** JSON text. Its arguments save it from reading the record. */
function poststopHook(store: Store, { key, ephemeral, instance }: UseRecord, log: Log): string {
  // no timeout: with one, crun misses the end of a hook when another child of its own ends at the same time
  return JSON.stringify({
    path: ownExecutable(),
    args: [
      "veneer-release",
      "--root",
      store.root,
      "--run",
      store.run,
      key,
      ephemeral ?? "",
      instance ?? "",
      ...logWords(log),
    ],
    env: MINIMAL_ENVIRONMENT,
  });
}

/** Where the end is logged, so that the hook reads no configuration for it. */
function logWords({ log, logFormat }: Log): string[] {
  return log === undefined ? [] : [logFormat, log];
}

/** A mount of the container that gets another file as its source. */
export interface MovedSource {
  /** in `mounts` */
  readonly index: number;
  readonly source: string;
}

/**
 * What the real runtime reads in place of a bundle's config.json: the text with our hook after those of poststop, and
 * with the sources of mounts that moved; every other byte is unchanged. The result is parsed again and compared
 * before it is used.
 */
export function rewriteConfig(
  text: string,
  store: Store,
  record: UseRecord,
  log: Log,
  moved: readonly MovedSource[] = [],
): string {
  const hook = poststopHook(store, record, log);
  let rewritten = text;
  for (const { index, source } of moved) {
    rewritten = replaceValue(rewritten, ["mounts", index, "source"], JSON.stringify(source));
  }
  rewritten = appendToArray(rewritten, ["hooks", "poststop"], hook);
  checkRewritten(text, rewritten, hook, moved);
  return rewritten;
}

interface Document {
  mounts?: { source?: string }[];
  hooks?: { poststop?: unknown[] } | null;
}

/** Throws unless the two documents differ only where they should. */
function checkRewritten(before: string, after: string, hook: string, moved: readonly MovedSource[]): void {
  const expected = JSON.parse(before) as Document;
  const found = JSON.parse(after) as Document;
  for (const { index, source } of moved) {
    const mount = expected.mounts?.[index];
    if (mount) mount.source = source;
  }
  const hooks = { ...expected.hooks, poststop: [...(expected.hooks?.poststop ?? []), JSON.parse(hook)] };
  if (JSON.stringify(sorted(expected, hooks)) === JSON.stringify(sorted(found, found.hooks))) return;
  throw new VeneerError("BAD_EDIT", "config.json could not be edited without changing it");
}

/** The document with its hooks in one fixed place and order, wherever the edit put them. */
function sorted(document: Document, hooks: Document["hooks"]): object[] {
  const { hooks: _, ...rest } = document;
  return [rest, Object.entries(hooks ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))];
}
