/** The commands that the small program runs. */
export const SMALL_VERBS = [
  "create",
  "mount",
  "umount",
  "rm",
  "ls",
  "ps",
  "run",
  "exec",
  "stop",
  "logs",
  "nri",
] as const;
