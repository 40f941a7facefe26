/** What long work says of itself while it runs. */
export interface Progress {
  /** A new step begins; `sample` tells how far it is whenever it is asked. */
  step(label: string, sample?: () => string | Part): void;
}

/** How far work is whose whole is known. */
export interface Part {
  /** as it is shown; empty: not at all */
  readonly text: string;
  /** from 0 to 1 */
  readonly share: number;
  /** when the share was 0, in milliseconds of `performance.now()`; absent: at the beginning of the step */
  readonly began?: number;
}

/** `312 MB` */
export function formatAmount(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** Milliseconds before an estimate is worth showing. */
const ENOUGH = 2000;

/** How long work that has taken `elapsed` milliseconds for `share` of the whole takes still; undefined: too early to tell. */
export function formatRemaining(elapsed: number, share: number): string | undefined {
  if (elapsed < ENOUGH || share <= 0 || share > 1) return undefined;
  const seconds = Math.ceil((elapsed * (1 - share)) / share / 1000);
  if (seconds < 100) return `about ${seconds} s left`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `about ${minutes} min left` : `about ${Math.ceil(minutes / 60)} h left`;
}
