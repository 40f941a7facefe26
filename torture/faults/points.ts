/** Where a run of a program can be struck: each distinct system call that it makes, and what can happen there. */
import { readFileSync } from "node:fs";
import { inject } from "../../test/helpers/strace.ts";

const ERRORS = ["ENOSPC", "EIO", "ENOMEM", "EPERM", "EBUSY", "EMFILE", "EROFS", "EINTR"] as const;
export const KINDS = ["kill", ...ERRORS] as const;
export type Kind = (typeof KINDS)[number];

/** The `when`th `call` of a process. */
export interface Point {
  readonly call: string;
  readonly when: number;
  /** an example of it */
  readonly text: string;
  /** before the program has read its arguments: calls of its loader and its run time */
  readonly early: boolean;
}

/** strace's options that record all calls to `file`. */
export const recording = (file: string) => ["-f", "-qq", "-s", "300", "-e", "signal=none", "-o", file];

/** strace's options that do something at a point. */
export const striking = ({ call, when }: Point, kind: Kind) => [
  ...inject(call, `${kind === "kill" ? "signal=KILL" : `error=${kind}`}:when=${when}`),
  ...["-e", "signal=none"],
];

/** An error of these makes no sense: they do not fail, do not return, or are the loader's of C. */
const NEVER_FAIL =
  /^(exit|exit_group|rt_sigreturn|restart_syscall|arch_prctl|set_tid_address|set_robust_list|rseq|execve|getpid|gettid|getuid|geteuid|getgid|getegid|getppid|getpgid|umask|sched_yield|rt_sigaction|rt_sigprocmask)$/;

/** Memory, threads and events of Bun: what it does without them is its own business. */
const RUN_TIME =
  /^(mmap|munmap|mprotect|madvise|mremap|brk|futex|clone3?|epoll_.*|eventfd2?|timerfd_.*|sched_.*|prctl|getrandom|prlimit64|sigaltstack|clock_.*|ppoll|poll|io_uring_.*|membarrier|sysinfo|uname|restart_syscall|rt_sig.*)$/;

/** The large program reads its arguments there: what comes before are its loader and its run time. */
const BEGIN = /^openat\(AT_FDCWD, "\/proc\/self\/cmdline"/;

/**
 * The distinct points of a recorded run: the same call with the same arguments counts once, made-up names, numbers of
 * processes and descriptors aside. `large`: the run is one of the large program's.
 */
export function pointsOf(file: string, large: boolean): Point[] {
  const counts = new Map<string, number>();
  const begun = new Set<string>();
  const kinds = new Map<string, Point>();
  const lines = readFileSync(file, "latin1").split("\n");
  const main = lines[0]?.split(" ")[0] ?? "";
  for (const line of lines) {
    const [, pid = main, text, call] = /^([0-9]+) +(([a-z0-9_]+)\(.*)/.exec(line) ?? [];
    if (text === undefined || call === undefined) continue;
    const when = (counts.get(`${pid} ${call}`) ?? 0) + 1;
    counts.set(`${pid} ${call}`, when);
    if (BEGIN.test(text)) begun.add(pid);
    const kind = kindOf(text);
    if (!kinds.has(kind)) kinds.set(kind, { call, when, text, early: large && !begun.has(pid) });
  }
  return [...kinds.values()].filter(({ call, when }) => call !== "execve" || when > 1);
}

function kindOf(text: string): string {
  return text
    .replace(/ = (-?[0-9]+|0x[0-9a-f]+|\?).*$/, "")
    .replace(/0x[0-9a-f]+/g, "P")
    .replace(/\b[0-9a-f]{8,}\b/g, "#")
    .replace(/(-|traced|bundle-|output-|veneer-test-)[A-Za-z0-9]{6,8}\b/g, "$1#")
    .replace(/[0-9]+/g, "N")
    .slice(0, 200);
}

/** What can happen at a point. */
export function kindsAt({ call, early }: Point, large: boolean): readonly Kind[] {
  if (NEVER_FAIL.test(call)) return call === "execve" ? KINDS : ["kill"];
  if (large && (early || RUN_TIME.test(call))) return ["kill"];
  return KINDS;
}
