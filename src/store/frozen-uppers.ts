/**
 * Parts of an upper: a live rebase puts a fresh part above those that there are, which gets what the highest one held
 * (live/move-changes.ts); those below it are read-only, and empty but for what had to stay. Part 0 lies in the
 * generation's (or ephemeral) directory itself, the others below `parts/` there; each has an `upper` and a `work`. What
 * the container changed is all parts as overlayfs merges them. Pure.
 */
/** Which parts are in use; neither: part 0 alone. */
export interface Parts {
  /** the highest part, which is written to; absent: 0 */
  readonly parts?: number;
  /** parts up to this one are merged in part 0 meanwhile and no longer in use; absent: none */
  readonly folded?: number;
}

/** Parts that a generation may have; overlayfs takes 500 layers, and a lookup asks each of them. */
export const MAX_PARTS = 16;

/** Whether the parts below the highest must be merged before there may be another (`foldParts`). */
export function isFull(parts: Parts): boolean {
  return partNumbers(parts).length >= MAX_PARTS;
}

/** Where part `number` is. */
export function partDirectory(directory: string, number: number): string {
  return number === 0 ? directory : `${directory}/parts/${number}`;
}

/** Where the layer is that hides what masks name below part `number`, of the overlay that writes to that part. */
export function maskLayer(directory: string, number: number): string {
  return `${directory}/parts/masks-${number}`;
}

/** The same, of a part above part 0 by its directory. */
export function maskLayerOf(part: string): string {
  return part.replace(/[0-9]+$/, "masks-$&");
}

/** The numbers of the parts in use, top first: the first is written to, the others are read-only. */
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

/** The uppers of the parts in use, top first: together they are what the container changed. */
export function partUppers(directory: string, parts: Parts): string[] {
  return partDirectories(directory, parts).map((part) => `${part}/upper`);
}
