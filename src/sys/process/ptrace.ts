/**
 * ptrace(2), to follow the system calls of one thread. Uses PTRACE_SEIZE, so that the thread gets no signal, and
 * PTRACE_O_EXITKILL, so that the traced process ends when this process ends for whatever reason.
 */
import { errno } from "../errno.ts";
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

// linux/ptrace.h
const PTRACE_DETACH = 17;
const PTRACE_SYSCALL = 24;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_LISTEN = 0x4208;
const PTRACE_GET_SYSCALL_INFO = 0x420e;
const PTRACE_O_TRACESYSGOOD = 0x1;
const PTRACE_O_TRACEEXEC = 0x10;
const PTRACE_O_EXITKILL = 0x100000;
const PTRACE_EVENT_EXEC = 4;
const PTRACE_EVENT_STOP = 128;
const SYSCALL_INFO_ENTRY = 1;
const SYSCALL_INFO_EXIT = 2;

const SIGTRAP = 5;
const SYSCALL_STOP = SIGTRAP | 0x80;
/** signals that stop a whole process: STOP, TSTP, TTIN, TTOU */
const STOPPING = [19, 20, 21, 22];
/** __WALL: waits for threads of other processes too (wait(2)) */
const WALL = 0x40000000;

/** bytes of struct ptrace_syscall_info up to the first arguments of a call */
const INFO_SIZE = 40;

export type Step =
  /** a system call has returned `result`; the thread has not continued yet */
  | { readonly kind: "returned"; readonly call: number; readonly result: bigint }
  /** execve(2) has succeeded; the new program has not run yet */
  | { readonly kind: "executed" }
  /** the thread has ended; `status` is as in wait(2) */
  | { readonly kind: "ended"; readonly status: number };

/** A traced thread. All other stops are passed on with their signal, so that signals act as without a tracer. */
export interface Tracee {
  /** Continues the thread until its next step. Throws when it can no longer be traced. */
  next(): Step;
  /** Stops tracing; the thread continues. */
  detach(): void;
}

/**
 * Traces the thread `tid`, which is stopped on return. Throws EPERM when another process traces it, or when the rules
 * of the kernel or a security module forbid it (ptrace(2), "Ptrace access mode checking"; Yama's scope 3).
 */
export function seize(tid: number): Tracee {
  const options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
  const call = (request: number, value = 0) =>
    check(syscall(SYS.ptrace, request, tid, 0, value), "ptrace", `thread ${tid}`);
  call(PTRACE_SEIZE, options);
  call(PTRACE_INTERRUPT);
  const info = new DataView(new ArrayBuffer(INFO_SIZE));
  let status = waitForStop(tid);
  let entered: number | undefined;
  return {
    next() {
      for (;;) {
        if (!isStopped(status)) return { kind: "ended", status };
        const event = status >> 16;
        const signal = (status >> 8) & 0xff;
        if (event === PTRACE_EVENT_STOP && STOPPING.includes(signal)) call(PTRACE_LISTEN);
        else call(PTRACE_SYSCALL, event === 0 && signal !== SYSCALL_STOP ? signal : 0);
        status = waitForStop(tid);
        if (!isStopped(status)) continue;
        if (status >> 16 === PTRACE_EVENT_EXEC) return { kind: "executed" };
        if (status >> 16 !== 0 || ((status >> 8) & 0xff) !== SYSCALL_STOP) continue;
        // ask the kernel whether the stop is at entry or exit: counting stops is not reliable
        const size = syscall(
          SYS.ptrace,
          PTRACE_GET_SYSCALL_INFO,
          tid,
          INFO_SIZE,
          new Uint8Array(info.buffer),
        );
        check(size, "ptrace PTRACE_GET_SYSCALL_INFO", `thread ${tid}`);
        const operation = info.getUint8(0);
        if (operation === SYSCALL_INFO_ENTRY) {
          entered = isOwnArchitecture(info.getUint32(4, true)) ? Number(info.getBigUint64(24, true)) : -1;
        } else if (operation === SYSCALL_INFO_EXIT && entered !== undefined) {
          return { kind: "returned", call: entered, result: info.getBigInt64(24, true) };
        }
      }
    },
    detach() {
      call(PTRACE_DETACH);
    },
  };
}

function isStopped(status: number): boolean {
  return (status & 0xff) === 0x7f;
}

function waitForStop(tid: number): number {
  const status = new Int32Array(1);
  for (;;) {
    const result = syscall(SYS.wait4, tid, status, WALL, null);
    if (result === -(errno.EINTR as number)) continue;
    check(result, "wait4", `thread ${tid}`);
    return status[0] as number;
  }
}

/** linux/audit.h: AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64. 32-bit programs use other system call numbers. */
function isOwnArchitecture(arch: number): boolean {
  return arch === (SYS.openat === 257 ? 0xc000003e : 0xc00000b7);
}
