/** Variables of the caller. */

/** Of NAME=VALUE each; of two of one name the first, as getenv(3) finds it. */
export function readVariables(entries: Iterable<string>): Readonly<Record<string, string>> {
  const variables: Record<string, string> = Object.create(null);
  for (const text of entries) {
    const end = text.indexOf("=");
    const name = text.slice(0, end);
    if (end > 0) variables[name] ??= text.slice(end + 1);
  }
  return variables;
}

/**
 * Names the descriptor by which the large program gets its caller's variables, each with a NUL behind it. They are no
 * environment of its own, where they could reach its run time, its allocator and its linker.
 */
export const ENVIRONMENT_DESCRIPTOR = "VENEER_ENVIRONMENT_DESCRIPTOR";
