/** The root that `setup` gives one container. */
import type { BaseRef } from "../text/names.ts";

/**
 * A fresh upper on a base at each start, or an instance. The hook is not told the base of an instance, because a
 * cutover or rebase changes it.
 */
export type UpperRoot =
  | { readonly base: BaseRef; readonly options?: UpperOptions }
  | {
      readonly instance: string;
      /** the base for an instance that does not exist yet */
      readonly missing?: BaseRef;
      readonly options?: UpperOptions;
    };

/** The options of a fresh upper; absent ones are as configured. */
export interface UpperOptions {
  readonly opaque?: readonly string[];
  readonly mask?: readonly string[];
  /** bytes */
  readonly tmpfs?: number;
}

/** The same as options of a hook or of `mount --fresh`. */
export function wordsOf({ opaque, mask = [], tmpfs }: UpperOptions = {}): string[] {
  return [
    ...(opaque?.length === 0 ? ["--opaque", "none"] : (opaque ?? []).flatMap((path) => ["--opaque", path])),
    ...mask.flatMap((path) => ["--mask", path]),
    ...(tmpfs === undefined ? [] : ["--tmpfs", String(tmpfs)]),
  ];
}
