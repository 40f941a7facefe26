/** Errors that reach a user, and the one line they become. */
import type { ErrorCode } from "./error-codes.ts";

/** Wrong use of the command line: exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/**
 * A failure of ours, or a frame around one: `message` says what was being done to what, `cause` why it
 * failed, `hint` what the reader can do. Exit status 1.
 */
export class VeneerError extends Error {
  override readonly name = "VeneerError";
  readonly hint: string | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: { hint?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.hint = options.hint;
  }
}

/** Runs `action`; what it throws is given a frame that says what was being done. Usage errors pass as they are. */
export function withContext<T>(
  what: string | (() => string),
  action: () => T,
  hint?: (error: unknown) => string | undefined,
): T {
  try {
    return action();
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new VeneerError("FAILED", typeof what === "string" ? what : what(), { cause, hint: hint?.(cause) });
  }
}

/** Like {@link withContext}, for an action that takes its time. */
export async function withContextAsync<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    throw new VeneerError("FAILED", what, { cause });
  }
}

/** The chain from the outermost frame to the root cause. */
export function* causes(error: unknown): Generator<unknown> {
  for (let depth = 0; error !== undefined && depth < 20; depth++) {
    yield error;
    error = error instanceof Error ? error.cause : undefined;
  }
}

/** What a chain of frames says: all messages on one line; the innermost hint and code, which know most. */
export function describeError(error: unknown): {
  readonly message: string;
  readonly hint: string | undefined;
  readonly code: ErrorCode | undefined;
} {
  const parts: string[] = [];
  let hint: string | undefined;
  let code: ErrorCode | undefined;
  for (const frame of causes(error)) {
    // QuickJS throws null where there is no memory left for an error
    parts.push(frame instanceof Error ? frame.message : frame === null ? "out of memory" : String(frame));
    if (frame instanceof UsageError || frame instanceof VeneerError) hint = frame.hint ?? hint;
    if (frame instanceof VeneerError && frame.code !== "FAILED") code = frame.code;
  }
  return { message: oneLine(parts.join(": ")), hint: hint === undefined ? undefined : oneLine(hint), code };
}

const oneLine = (text: string) => escapeControls(text.replace(/\s*\n\s*/g, " "));

/**
 * Text that holds names of others, for a terminal or a log: what would move the cursor, start a sequence (ECMA-48) or turn
 * the direction of writing becomes `\uXXXX`, which JSON reads as the same. Lines and tabs stay.
 */
export function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is escaped
  const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;
  return text.replace(unsafe, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/**
 * One line: `start web1: no base debian; hint: … [NO_BASE]`. `fallback` is the hint where no frame has one. What fails
 * for a system call alone has no code but the name of its errno in the text.
 */
export function formatError(error: unknown, fallback?: string): string {
  const { message, hint = fallback, code } = describeError(error);
  return message + (hint === undefined ? "" : `; hint: ${hint}`) + (code === undefined ? "" : ` [${code}]`);
}

/** Exit status for an error: 2 for wrong usage, else 1. */
export function exitStatus(error: unknown): number {
  for (const frame of causes(error)) if (frame instanceof UsageError) return 2;
  return 1;
}
