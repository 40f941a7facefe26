/** How far a rollout is, for the estimate of what is left. */
import type { Part } from "../process/progress.ts";

export interface Way {
  /** members that were moved, or could not be */
  gone: number;
  readonly share: () => Part;
}

export function beginWay(all: number): Way {
  const began = performance.now();
  const way = { gone: 0, share: () => ({ text: "", share: way.gone / Math.max(all, 1), began }) };
  return way;
}
