/** What long work says of itself while it runs. */
export interface Progress {
  /** A new step begins; `sample` tells how far it is whenever it is asked. */
  step(label: string, sample?: () => string): void;
}

/** `312 MB` */
export function formatAmount(bytes: number): string {
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
