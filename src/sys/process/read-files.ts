/** The process that read-within.ts starts; it is part of the small program. */
import { isErrno } from "../errno.ts";
import { openat, readAll, writeAll } from "../fd.ts";
import { AT_FDCWD, O_RDONLY } from "../flags.ts";
import { quickStat } from "../stat.ts";

const LIMIT = 64 * 1024 * 1024;

/** Reads the files named on stdin, one per line, and writes each to stdout: its length in 4 bytes, then its bytes. */
export function readFiles(): void {
  const paths = new TextDecoder().decode(readAll(0, LIMIT, "stdin")).split("\n");
  for (const path of paths) {
    const bytes = contents(path);
    const answer = new Uint8Array(4 + bytes.length);
    new DataView(answer.buffer).setUint32(0, bytes.length, true);
    answer.set(bytes, 4);
    writeAll(1, answer, "stdout");
  }
}

function contents(path: string): Uint8Array {
  if (path.includes("/map_files/")) return quickStat(path) ?? new Uint8Array(0);
  try {
    using file = openat(AT_FDCWD, path, O_RDONLY);
    return readAll(file.number, LIMIT, path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL", "EIO")) return new Uint8Array(0);
    throw error;
  }
}
