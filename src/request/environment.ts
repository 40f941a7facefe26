/** The environment variables of the caller. */

/** Parses NAME=VALUE entries. The first of several entries with one name counts, as in getenv(3). */
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
 * Names the descriptor from which the large program reads its caller's variables, each followed by a NUL. They are not
 * its own environment, where they could affect its run time, allocator and dynamic linker.
 */
export const ENVIRONMENT_DESCRIPTOR = "VENEER_ENVIRONMENT_DESCRIPTOR";
