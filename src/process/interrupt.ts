/** Long work that a signal ends at the next good place. */

import { VeneerError } from "../errors.ts";

/** Aborts `signal` at SIGINT, SIGTERM or SIGHUP, with the signal's name, in place of what they do by default. */
export function onInterrupt(): Disposable & { readonly signal: AbortSignal } {
  const stop = new AbortController();
  const interrupt = (name: string) => stop.abort(name);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const name of signals) process.on(name, interrupt);
  return {
    signal: stop.signal,
    [Symbol.dispose]() {
      for (const name of signals) process.off(name, interrupt);
    },
  };
}

/** Throws INTERRUPTED when a signal came. */
export function throwIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw interruption(signal);
}

/** The error for work that a signal ended. */
export function interruption(signal: AbortSignal): VeneerError {
  return new VeneerError("INTERRUPTED", `interrupted by ${signal.reason}`);
}

/** Gives the handlers of signals that arrived during synchronous work a turn. */
export function yieldToSignals(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
