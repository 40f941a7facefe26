/** The hook that releases a container's root, and its place in config.json. */
import { VeneerError } from "../errors.ts";
import type { Log } from "../report/event-log.ts";
import { appendToArray, replaceValue } from "../request/bundle-edit.ts";
import type { Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { MINIMAL_ENVIRONMENT } from "../sys/environment.ts";
import { ownExecutable } from "../sys/self.ts";

/** The hook as JSON text. Its arguments hold all it needs, so that it does not have to read the record. */
function poststopHook(store: Store, { key, ephemeral, instance }: UseRecord, log: Log): string {
  // no timeout: with one, crun misses the end of the hook when another of its children ends at the same time
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

/** The arguments for the log, so that the hook does not have to read the configuration. */
function logWords({ log, logFormat }: Log): string[] {
  return log === undefined ? [] : [logFormat, log];
}

/** A mount of the container whose source is replaced. */
export interface MovedSource {
  /** index in `mounts` */
  readonly index: number;
  readonly source: string;
}

/**
 * The config.json that the real runtime reads instead of the bundle's: with our hook after the other poststop hooks,
 * and with the sources of the moved mounts replaced. Every other byte is unchanged. Parses the result and throws unless
 * it differs only where it should.
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

/** Throws unless the documents differ only in our hook and the moved sources. */
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

/**
 * The document with its hooks in a fixed place and order, to compare documents in which they are in different places.
 */
function sorted(document: Document, hooks: Document["hooks"]): object[] {
  const { hooks: _, ...rest } = document;
  return [rest, Object.entries(hooks ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))];
}
