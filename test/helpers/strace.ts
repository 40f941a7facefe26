/** System calls of the program, counted and interrupted. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Hook } from "./bundle.ts";
import { must } from "./host.ts";

/** Calls that change something that outlives the process, or the namespace that it is in. */
const MUTATING = [
  "mkdirat",
  "mknodat",
  "symlinkat",
  "linkat",
  "unlinkat",
  "renameat2",
  "write",
  "ftruncate",
  "fchownat",
  "fchmodat",
  "utimensat",
  "lsetxattr",
  "fsync",
  "syncfs",
  "mount",
  "umount2",
  "fsmount",
  "move_mount",
  "mount_setattr",
  "setns",
  "pivot_root",
  "pidfd_send_signal",
  "setsid",
  "dup3",
  "close_range",
  "chroot",
  "ptrace",
  "flock",
];

/** A place in a program's run: the `when`th `call`, which may be several with commas between them. */
export interface Moment {
  readonly call: string;
  readonly when: number;
}

/** strace's arguments that write the mutating calls to `file`. */
export const recordTo = (file: string, calls: readonly string[] = MUTATING) => [
  ...["-f", "-qq", "-o", file, "-e", `trace=${calls.join(",")}`],
];

/** strace's arguments that do something at a call (strace(1), "Tampering"): `error=EIO`, `signal=KILL:when=2`. */
export const inject = (call: string, what: string) => [
  "-f",
  "-qq",
  "-o",
  "/dev/null",
  "-e",
  `trace=${call}`,
  "-e",
  `inject=${call}:${what}`,
];

/** The same for the program itself, not for what it starts. */
export const alone = (options: readonly string[]) => options.filter((word) => word !== "-f");

/** strace's arguments that write one kind of call to `file`. */
export const traceTo = (file: string, call: string) => [
  "-f",
  "-qq",
  "-o",
  file,
  "-e",
  `trace=${call}`,
  "-e",
  "signal=none",
];

/**
 * strace's arguments that do something at the call that contains `text` in an earlier run, which {@link traceTo} has
 * written to `trace`; strace counts the calls of each process. What happens is written to `trace` with `-injected`.
 */
export function injectAt(trace: string, call: string, text: string, what: string): string[] {
  const lines = readFileSync(trace, "utf8").trimEnd().split("\n");
  const found = lines.findIndex((line) => line.includes(text));
  if (found < 0) throw new Error(`no ${call} with ${text} in ${trace}`);
  const process = `${lines[found]?.split(" ")[0]} `;
  const when = lines.slice(0, found + 1).filter((line) => line.startsWith(process)).length;
  return [...traceTo(`${trace}-injected`, call), "-e", `inject=${call}:${what}:when=${when}`];
}

/** strace's arguments that kill the program when it is about to make a call. */
export const killAt = ({ call, when }: Moment) => inject(call, `signal=KILL:when=${when}`);

/** strace's arguments that let a call fail in place of being made. */
export const failAt = ({ call, when }: Moment) => inject(call, `error=EIO:when=${when}`);

/** Every moment of a recorded run. strace counts the calls of each process for itself, so one moment may be in several. */
export function momentsOf(file: string): Moment[] {
  const moments = linesOf(file).map(({ call, when }) => [`${call} ${when}`, { call, when }] as const);
  return [...new Map(moments).values()];
}

/**
 * The first and the last moment of each kind: the same call with the same arguments, made-up names aside. All calls that
 * fill or empty a directory by descriptor are of one kind.
 */
export function distinctMoments(file: string): Moment[] {
  const kinds = new Map<string, Moment[]>();
  for (const { call, when, text } of linesOf(file)) {
    const kind = text.replace(/\b[0-9a-f]{12,}\b/g, "#").replace(/^([a-z0-9_]+\()[0-9]+.*/, "$1");
    const [first = { call, when }] = kinds.get(kind) ?? [];
    kinds.set(kind, [first, { call, when }]);
  }
  return [...new Map([...kinds.values()].flat().map((one) => [`${one.call} ${one.when}`, one])).values()];
}

function linesOf(file: string): (Moment & { readonly text: string })[] {
  const counts = new Map<string, number>();
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, pid, text, call] = /^([0-9]+ +)?(([a-z0-9_]+)\(.*)/.exec(line) ?? [];
      if (text === undefined || call === undefined || !MUTATING.includes(call)) return [];
      const when = (counts.get(`${pid} ${call}`) ?? 0) + 1;
      counts.set(`${pid} ${call}`, when);
      return [{ call, when, text }];
    });
}

/**
 * Puts strace before a hook's program. Beside it and not above it (-D): the runtime waits for the hook alone, which may
 * leave a process behind, and until nobody has its stderr open. Returns what resolves when strace has written all.
 */
export function traceHook(hook: Hook, dir: string, options: readonly string[]): () => Promise<unknown> {
  const script = join(mkdtempSync(join(dir, "strace-")), "hook");
  const words = [...options, hook.path].map((word) => `'${word}'`).join(" ");
  const lines = [
    'exec 9>"$0.lock" && flock 9',
    `strace -D ${words} "$@" 2>"$0.stderr" >/dev/null`,
    "status=$?",
    'cat "$0.stderr" >&2',
    "exit $status",
  ];
  writeFileSync(script, `#!/bin/sh\n${lines.join("\n")}\n`, { mode: 0o755 });
  hook.path = script;
  return () => must("flock", [`${script}.lock`, "true"]);
}

/** Throws where processes cannot be traced. */
export function tryStrace(): void {
  execFileSync("strace", ["-o", "/dev/null", "true"], { stdio: "pipe" });
}
