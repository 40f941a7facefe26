/** ppoll(2). */
import type { Fd } from "../fd.ts";
import { syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

const POLLOUT = 4;
const POLLERR = 8;

/** Whether a line can be written at once (for a pipe: PIPE_BUF bytes, pipe(7)), and somebody reads it. */
export function canWrite(fd: Fd): boolean {
  const entry = new DataView(new ArrayBuffer(8));
  entry.setInt32(0, fd.number, true);
  entry.setInt16(4, POLLOUT, true);
  const now = new BigInt64Array([0n, 0n]);
  syscall(SYS.ppoll, new Uint8Array(entry.buffer), 1, now, null, 0);
  return (entry.getInt16(6, true) & (POLLOUT | POLLERR)) === POLLOUT;
}
