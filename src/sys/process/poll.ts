/** ppoll(2). */
import type { Fd } from "../fd.ts";
import { syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";
import { timespec } from "../self.ts";

const POLLIN = 1;
const POLLOUT = 4;
const POLLERR = 8;

function poll(fd: Fd, events: number, milliseconds: number): number {
  const entry = new DataView(new ArrayBuffer(8));
  entry.setInt32(0, fd.number, true);
  entry.setInt16(4, events, true);
  const limit = timespec(Math.max(0, milliseconds));
  syscall(SYS.ppoll, new Uint8Array(entry.buffer), 1, limit, null, 0);
  return entry.getInt16(6, true);
}

/** Whether a line can be written without blocking (for a pipe, PIPE_BUF bytes: pipe(7)) and somebody reads it. */
export function canWrite(fd: Fd): boolean {
  return (poll(fd, POLLOUT, 0) & (POLLOUT | POLLERR)) === POLLOUT;
}

/** Whether data or the end of the file can be read within that time. */
export function canRead(fd: Fd, milliseconds: number): boolean {
  return poll(fd, POLLIN, milliseconds) !== 0;
}
