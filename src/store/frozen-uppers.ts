/**
 * The parts of an upper. A live rebase stacks a fresh part on the existing ones and moves the contents of the previous
 * top part into it (live/move-changes.ts). The parts below the top are read-only and hold only what could not be moved.
 * Part 0 lies in the directory of the generation (or ephemeral upper) itself, the others in `parts/` there; each has an
 * `upper` and a `work`. The container's changes are all parts as overlayfs merges them. Pure.
 */
/** Which parts are in use. With both fields absent, that is part 0 alone. */
export interface Parts {
  /** number of the top part, the only one that is written to; absent: 0 */
  readonly parts?: number;
  /** parts 1 to this number were merged into part 0 and are no longer in use; absent: none */
  readonly folded?: number;
}

/** Most parts that a generation may have. Overlayfs allows 500 layers, but each lookup may search them all. */
export const MAX_PARTS = 16;

/** Whether the parts below the top must be merged (`foldParts`) before another part can be added. */
export function isFull(parts: Parts): boolean {
  return partNumbers(parts).length >= MAX_PARTS;
}

/** The directory of part `number`. */
export function partDirectory(directory: string, number: number): string {
  return number === 0 ? directory : `${directory}/parts/${number}`;
}

/** The layer directly below part `number` that hides masked paths, for the overlay that writes to that part. */
export function maskLayer(directory: string, number: number): string {
  return `${directory}/parts/masks-${number}`;
}

/** Like {@link maskLayer}, given the directory of a part other than part 0. */
export function maskLayerOf(part: string): string {
  return part.replace(/[0-9]+$/, "masks-$&");
}

/** The numbers of the parts in use, top first. Only the first is written to. */
export function partNumbers({ parts = 0, folded = 0 }: Parts): number[] {
  const numbers: number[] = [];
  for (let number = parts; number > folded; number--) numbers.push(number);
  numbers.push(0);
  return numbers;
}

/** The directories of the parts in use, top first. */
export function partDirectories(directory: string, parts: Parts): string[] {
  return partNumbers(parts).map((number) => partDirectory(directory, number));
}

/** The uppers of the parts in use, top first. Together they hold the container's changes. */
export function partUppers(directory: string, parts: Parts): string[] {
  return partDirectories(directory, parts).map((part) => `${part}/upper`);
}
