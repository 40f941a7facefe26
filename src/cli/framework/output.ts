/**
 * Writes to standard output and error by system calls: loading the streams of node:process takes longer than a command.
 */
import { escapeControls } from "../../errors.ts";
import { errno } from "../../sys/errno.ts";
import { check, syscall } from "../../sys/libc.ts";
import { SYS } from "../../sys/numbers.ts";
import { sleep } from "../../sys/self.ts";

const encoder = new TextEncoder();

/** Its name in errors. */
export const STANDARD_OUTPUT = "standard output";

export const out = (line: string): void => write(1, line, STANDARD_OUTPUT);
export const note = (line: string): void => write(2, line, "standard error");

function write(fd: number, line: string, name: string): void {
  const bytes = encoder.encode(`${escapeControls(line)}\n`);
  for (let offset = 0; offset < bytes.length; ) {
    const count = syscall(SYS.write, fd, bytes.subarray(offset), bytes.length - offset);
    if (count === -(errno.EINTR as number)) continue;
    // another process that shares the descriptor may have made it non-blocking
    if (count === -(errno.EAGAIN as number)) sleep(1);
    // the reader has seen enough, as in `veneer ls | head`: end with the status of SIGPIPE
    else if (count === -(errno.EPIPE as number)) syscall(SYS.exit_group, 141);
    else if (count < 0 && fd === 2) return;
    else offset += check(count, "write", name);
  }
}

const TCGETS = 0x5401;

/** Like isatty(3). */
export function isTerminal(fd: number): boolean {
  return syscall(SYS.ioctl, fd, TCGETS, new Uint8Array(64)) === 0;
}

const TIOCGWINSZ = 0x5413;

/**
 * The columns of a terminal (TIOCGWINSZ, ioctl_tty(2)), 80 when it reports none; infinity when it is not a terminal.
 */
export function terminalWidth(fd: number): number {
  const size = new Uint16Array(4);
  if (syscall(SYS.ioctl, fd, TIOCGWINSZ, size) !== 0) return Number.POSITIVE_INFINITY;
  return size[1] || 80;
}
