/** The process that traces init (follow-pivot.ts). It outlives the hook, until init's root is the overlay. */
import type { ErrorCode } from "../error-codes.ts";
import { causes, formatError, VeneerError } from "../errors.ts";
import { type Fd, readAll, writeAll } from "../sys/fd.ts";
import { type Place, returnTo } from "../sys/namespace.ts";
import { detachSelf } from "../sys/process/daemon.ts";
import { exit, fork, pipe } from "../sys/process/fork.ts";
import { canWrite } from "../sys/process/poll.ts";
import { borrowFromParent, killProcess } from "../sys/process.ts";
import { type CoveredRoot, followPivot } from "./follow-pivot.ts";

const READY = "ready";
const ANSWER_LIMIT = 65536;

/**
 * Forks a process that traces init, and returns once it does. From then on init either gets the overlay as its root or
 * is killed; in that case the reason goes to the runtime's stderr and to `report`, which is called in the forked
 * process, in the namespace of `home`. Throws when init cannot be traced; then the forked process has ended.
 */
export function forkFollower(container: CoveredRoot, home: Place, report: (error: unknown) => void): void {
  const { read, write } = pipe();
  using answer = read;
  // not the hook's own stderr: the runtime reads that to its end, so it would wait for the forked process
  using stderr: Fd | undefined = borrowFromParent(2);
  if (fork() === 0) follow(container, { home, answer: write, stderr, report });
  write[Symbol.dispose]();
  const text = new TextDecoder().decode(readAll(answer.number, ANSWER_LIMIT, "the answer of the helper"));
  if (text === READY) return;
  const { code, message, hint } = text === "" ? ENDED : (JSON.parse(text) as Failure);
  throw new VeneerError(code, message, { hint });
}

interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
}

const ENDED: Failure = {
  code: "HELPER",
  message: "the helper that follows the container's process has ended",
};

interface Circumstances {
  readonly home: Place;
  readonly answer: Fd;
  readonly stderr: Fd | undefined;
  readonly report: (error: unknown) => void;
}

/** Never returns: what the hook has open and undoes belongs to the hook's process. */
function follow(container: CoveredRoot, { home, answer, stderr, report }: Circumstances): never {
  let ready = false;
  try {
    const { process, overlay, root, top } = container;
    const kept = [process, overlay, root, top, home.namespace, home.root, answer];
    detachSelf(stderr ? [...kept, stderr] : kept);
    followPivot(container, () => {
      writeAll(answer.number, new TextEncoder().encode(READY), "the hook");
      answer[Symbol.dispose]();
      ready = true;
    });
    exit(0);
  } catch (error) {
    if (ready) {
      // the kernel kills init when this process ends, but nobody should wait for our messages until then
      killProcess(container.pid);
      quietly(() => tell(stderr, error));
      quietly(() => {
        returnTo(home);
        report(error);
      });
    } else {
      quietly(() =>
        writeAll(answer.number, new TextEncoder().encode(JSON.stringify(toFailure(error))), "the hook"),
      );
    }
    exit(1);
  }
}

function toFailure(error: unknown): Failure {
  const frames = [...causes(error)];
  const named = frames.filter((frame) => frame instanceof VeneerError);
  const hint = named.findLast((frame) => frame.hint !== undefined)?.hint;
  return {
    code: named[0]?.code ?? "FAILED",
    message: frames.map((frame) => (frame instanceof Error ? frame.message : String(frame))).join(": "),
    ...(hint !== undefined && { hint }),
  };
}

/** Writes one line, if that does not block. */
function tell(stderr: Fd | undefined, error: unknown): void {
  if (!stderr || !canWrite(stderr)) return;
  writeAll(
    stderr.number,
    new TextEncoder().encode(`veneer: ${formatError(error)}\n`),
    "stderr of the runtime",
  );
}

function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // what matters is that init does not start
  }
}
