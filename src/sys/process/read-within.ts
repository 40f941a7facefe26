/**
 * Reads files of /proc that may never answer: the memory map of a process, its command line or the file behind a
 * descriptor. The kernel takes locks for them that the process can hold as long as it likes, with a file server of its
 * own. So a separate process reads them, which is abandoned when it hangs.
 */
import { type Fd, readSome, writeAll } from "../fd.ts";
import { lseek, makeMemoryFile, SEEK_SET } from "../files/data.ts";
import { programPath } from "../self.ts";
import { startBetween } from "../spawn.ts";
import { pipe } from "./fork.ts";
import { canRead } from "./poll.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Milliseconds for a running container, or a file system of its own, to answer. */
export const ANSWER_TIME = 15_000;

/**
 * The contents of each file, or for a link in map_files the struct statx of its target; empty for a file that is gone.
 * A file that cannot be read within `milliseconds` is left out, and so are all that follow it. In `/proc/PID/root//etc/passwd`
 * what follows the two slashes is looked up as the process would.
 */
export function readWithin(paths: readonly string[], milliseconds: number): Map<string, Bytes> {
  const texts = new Map<string, Bytes>();
  if (paths.length === 0) return texts;
  const end = Date.now() + milliseconds;
  using wanted = memoryFile(paths.join("\n"));
  const { read, write } = pipe();
  using answers = read;
  using _reader = startBetween([programPath(), "internal", "read"], wanted.number, write.number);
  write[Symbol.dispose]();
  let buffer = new Uint8Array(1 << 18);
  let length = 0;
  while (texts.size < paths.length && canRead(answers, end - Date.now())) {
    const count = readSome(answers.number, buffer.subarray(length), "answers");
    if (count === 0) break;
    length += count;
    const taken = takeAnswers(buffer.subarray(0, length), paths, texts);
    buffer.copyWithin(0, taken, length);
    length -= taken;
    if (length < buffer.length) continue;
    const larger = new Uint8Array(2 * buffer.length);
    larger.set(buffer);
    buffer = larger;
  }
  return texts;
}

/** Each answer is a length in 4 bytes, then that many bytes. Returns the size in bytes of all complete answers. */
function takeAnswers(bytes: Bytes, paths: readonly string[], texts: Map<string, Bytes>): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  while (at + 4 <= bytes.length) {
    const next = at + 4 + view.getUint32(at, true);
    if (next > bytes.length) break;
    texts.set(paths[texts.size] as string, bytes.slice(at + 4, next));
    at = next;
  }
  return at;
}

function memoryFile(text: string): Fd {
  const file = makeMemoryFile("wanted");
  writeAll(file.number, new TextEncoder().encode(text), "wanted files");
  lseek(file.number, 0, SEEK_SET);
  return file;
}
