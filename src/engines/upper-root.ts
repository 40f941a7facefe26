/** What `setup` gives one container as its root. */
import type { BaseRef } from "../text/names.ts";

/**
 * Fresh on a base at each start, or an instance, whose base the hook is not told: a cutover or rebase changes it.
 */
export type UpperRoot =
  | { readonly base: BaseRef; readonly options?: UpperOptions }
  | {
      readonly instance: string;
      /** it is not there yet: what it will stand on */
      readonly missing?: BaseRef;
      readonly options?: UpperOptions;
    };

/** What a fresh upper shall be; absent: as configured. */
export interface UpperOptions {
  readonly opaque?: readonly string[];
  readonly mask?: readonly string[];
  /** bytes */
  readonly tmpfs?: number;
}

/** As options of a hook or of `mount --fresh`. */
export function wordsOf({ opaque, mask = [], tmpfs }: UpperOptions = {}): string[] {
  return [
    ...(opaque?.length === 0 ? ["--opaque", "none"] : (opaque ?? []).flatMap((path) => ["--opaque", path])),
    ...mask.flatMap((path) => ["--mask", path]),
    ...(tmpfs === undefined ? [] : ["--tmpfs", String(tmpfs)]),
  ];
}
