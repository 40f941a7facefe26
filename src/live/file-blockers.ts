/** Which open files of a container block a switch to another root. Pure: facts in, reasons out. */

/** A file of the container's root that a process has open. */
export interface OpenFile {
  /** in the container */
  readonly path: string;
  readonly pid: number;
  readonly command: string;
  readonly kind: "file" | "fifo" | "socket";
  /** open for reading too, or mapped */
  readonly reads: boolean;
  /** a lock is held through it (flock(2), fcntl(2)) */
  readonly locked: boolean;
  /** names that the file has besides this one */
  readonly otherNames: number;
  /** it belongs to a generation that the container leaves */
  readonly left?: boolean;
}

export interface Blocker {
  readonly path: string;
  readonly pid: number;
  readonly command: string;
  readonly why: string;
}

/**
 * The files that would break. A file that is only written, such as a log, stays the same file for every process. A
 * file that is also read may be in use through the new root at the same time, and the two roots do not share the
 * locks by which processes would keep out of each other's way.
 */
export function blockers(files: readonly OpenFile[]): Blocker[] {
  const found = files.flatMap((file): Blocker[] => {
    const why = whyNot(file);
    return why === undefined ? [] : [{ path: file.path, pid: file.pid, command: file.command, why }];
  });
  const seen = new Set<string>();
  return found.filter(({ path, pid }) => {
    const key = `${pid} ${path}`;
    return !seen.has(key) && seen.add(key);
  });
}

function whyNot({ kind, reads, locked, otherNames, left }: OpenFile): string | undefined {
  if (kind !== "file") return whyCutOff(kind);
  if (left) return "writes to it, and it belongs to the generation that is left";
  if (locked) return "holds a lock on it, which processes that open it later would not see";
  if (otherNames > 0)
    return `writes to it, and it has ${otherNames === 1 ? "another name" : `${otherNames} other names`}`;
  if (reads)
    return "has it open for reading and writing: processes that open it later would not see its locks";
  return undefined;
}

function whyCutOff(kind: "fifo" | "socket"): string {
  return kind === "fifo"
    ? "has this FIFO open, and processes that open it later would not reach it"
    : "listens on this socket, and later connections would be refused";
}

/** `/var/lib/db (process 12, sqlite3): holds a lock on it…` */
export function blockerLine({ path, pid, command, why }: Blocker): string {
  return `${path} (process ${pid}, ${command}): ${why}`;
}
