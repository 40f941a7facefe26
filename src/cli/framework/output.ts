/** Standard output and error, written at once: the streams of node:process take longer to load than a verb to run. */
import { escapeControls } from "../../errors.ts";
import { errno } from "../../sys/errno.ts";
import { check, syscall } from "../../sys/libc.ts";
import { SYS } from "../../sys/numbers.ts";
import { sleep } from "../../sys/self.ts";

const encoder = new TextEncoder();

/** What errors call it. */
export const STANDARD_OUTPUT = "standard output";

export const out = (line: string): void => write(1, line, STANDARD_OUTPUT);
export const note = (line: string): void => write(2, line, "standard error");

function write(fd: number, line: string, name: string): void {
  const bytes = encoder.encode(`${escapeControls(line)}\n`);
  for (let offset = 0; offset < bytes.length; ) {
    const count = syscall(SYS.write, fd, bytes.subarray(offset), bytes.length - offset);
    if (count === -(errno.EINTR as number)) continue;
    // whoever shares the descriptor may have made it non-blocking
    if (count === -(errno.EAGAIN as number)) sleep(1);
    // a reader that has seen enough, as in `veneer ls | head`: end as SIGPIPE would
    else if (count === -(errno.EPIPE as number)) syscall(SYS.exit_group, 141);
    else if (count < 0 && fd === 2) return;
    else offset += check(count, "write", name);
  }
}

const TCGETS = 0x5401;

/** isatty(3) */
export function isTerminal(fd: number): boolean {
  return syscall(SYS.ioctl, fd, TCGETS, new Uint8Array(64)) === 0;
}

const TIOCGWINSZ = 0x5413;

/** Columns of a terminal (ioctl_tty(2), TIOCGWINSZ), 80 where it does not say; without bound where it is none. */
export function terminalWidth(fd: number): number {
  const size = new Uint16Array(4);
  if (syscall(SYS.ioctl, fd, TIOCGWINSZ, size) !== 0) return Number.POSITIVE_INFINITY;
  return size[1] || 80;
}
