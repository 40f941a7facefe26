/**
 * The same calls to the real runtime, to the wrapping one without a base, and to it with a base that has the same
 * files: status, output, logs and effects are equal. What differs from call to call (process ids, times) is masked.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { type Config, defaultConfig, nextId, RUNTIMES } from "../helpers/bundle.ts";
import { makeHost, type Outcome, PROJECT, plainCrun, sh } from "../helpers/host.ts";
import { storeArguments } from "../helpers/wrapper.ts";

const host = makeHost();
const crun = plainCrun(host);
const bundle = join(host.dir, "bundle");
const scratch = join(host.dir, "scratch");
let tree: string;

beforeAll(async () => {
  tree = makeBase(host, "b");
  mkdirSync(join(bundle, "rootfs"), { recursive: true });
  mkdirSync(scratch);
  // what a runtime makes in a root, so that it is there in each
  for (const path of ["dev/pts", "sys"]) mkdirSync(join(tree, path), { recursive: true });
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});

const WAYS = ["real", "wrapped", "based"] as const;
type Way = (typeof WAYS)[number];

/** An engine's surroundings: signals ignored and blocked, limits, a umask, descriptors, LISTEN_FDS aside. */
const SURROUNDINGS = `
import os, resource, signal, sys
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGRTMIN + 3})
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))
os.umask(0o37)
for number in (3, 4, 17):
    os.dup2(os.open("/etc/hostname", os.O_RDONLY), number)
for number in range(3, 200):
    try: os.set_inheritable(number, number in (3, 4, 17))
    except OSError: pass
os.execvp(sys.argv[1], sys.argv[1:])
`;

/** Runs a command at a terminal of its own. */
const TERMINAL = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
try:
    while data := os.read(fd, 1024): os.write(1, data)
except OSError: pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

interface CallOptions {
  readonly prefix?: readonly string[];
  readonly input?: string;
  /** without --log: crun may write the last output of a terminal as it does its log */
  readonly unlogged?: boolean;
}

interface Session {
  readonly id: string;
  /** Calls the runtime: its words behind --root and --log. */
  call(...words: string[]): Promise<unknown>;
  /** The same with an input, or in surroundings of its own. */
  callWith(options: CallOptions, ...words: string[]): Promise<unknown>;
  /** Writes config.json. */
  configure(command: string, edit?: (config: Config) => void): void;
  file(name: string): string;
  read(name: string): string;
}

function session(name: string, way: Way): Session {
  const id = nextId();
  const real = realPath(name);
  const program = way === "real" ? [real] : [join(PROJECT, `dist/veneer-${name}`), ...storeArguments(host)];
  const callWith: Session["callWith"] = async ({ prefix = [], input, unlogged }, ...words) => {
    const log = join(scratch, "log");
    rmSync(log, { force: true });
    const format = words.length % 2 === 0 ? "json" : "text";
    const all = [...prefix, ...program, "--root", join(host.dir, "state")];
    if (!unlogged) all.push("--log", log, "--log-format", format);
    const output = join(scratch, "output");
    // to files: a container that goes on has them open
    const line = `exec "$@" >${output} 2>${output}.err`;
    const outcome = await sh("sh", ["-c", line, "sh", ...all, ...words], {
      cwd: bundle,
      env: { PATH: host.path },
      input: input ?? "",
    });
    const texts = [readFileSync(output, "utf8"), readFileSync(`${output}.err`, "utf8"), readMaybe(log)];
    const [stdout, stderr, logged] = texts.map((text) => mask(text).replaceAll(id, "ID"));
    return { words: words.join(" ").replaceAll(id, "ID"), status: outcome.status, stdout, stderr, logged };
  };
  return {
    id,
    call: (...words) => callWith({}, ...words),
    callWith,
    configure(command, edit = () => {}) {
      const config = defaultConfig(command);
      if (way === "based") config.annotations["run.veneer.base"] = "b";
      else config.root.path = tree;
      edit(config);
      writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
    },
    file: (file) => join(scratch, file),
    read: (file) => mask(readMaybe(join(scratch, file))),
  };
}

/** An engine's absolute path of it, as the wrapping runtime calls it: it is in messages. */
function realPath(name: string): string {
  for (const directory of host.path.split(":")) {
    if (existsSync(join(directory, name))) return join(directory, name);
  }
  throw new Error(`no ${name}`);
}

function readMaybe(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "(none)";
  }
}

/** Process ids, times, and which directory is the root. */
function mask(text: string): string {
  return (
    text
      .replaceAll(/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)?/g, "TIME")
      .replaceAll(tree, "ROOT")
      .replaceAll(join(bundle, "rootfs"), "ROOT")
      .replaceAll('"rootfs": "rootfs"', '"rootfs": "ROOT"')
      .replaceAll(/,?\s*"annotations": ?\{\s*"run\.veneer\.base": ?"b"\s*\}/g, "")
      .replaceAll(/,?\s*"annotations": ?\{\s*\}/g, "")
      // a runtime may set its terminal before or after the container's first line
      .replaceAll(/\r+\n/g, "\n")
      .replaceAll(/"pid": ?[0-9]{2,}/g, '"pid": PID')
      .replaceAll(/\b(process|pid|PID) [0-9]+/g, "$1 PID")
      .replaceAll(/\/proc\/[0-9]+/g, "/proc/PID")
      .replaceAll(/\b[0-9]+ +[0-9]+ +[0-9]+ +[0-9]{2}:[0-9]{2}/g, "PIDS")
      .trimEnd()
  );
}

/** Runs `steps` in each way and compares. */
function same(name: string, steps: (session: Session, name: string) => Promise<unknown[]>): Promise<void> {
  return (async () => {
    const seen: Partial<Record<Way, unknown[]>> = {};
    for (const way of WAYS) seen[way] = await steps(session(name, way), name);
    expect(seen.real?.length).toBeGreaterThan(0);
    expect(seen.wrapped).toEqual(seen.real);
    expect(seen.based).toEqual(seen.real);
  })();
}

/** Only the names of what is in it: figures differ. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value !== "object" || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, shape(entry)]));
}

describe.each(RUNTIMES)("veneer-%s is as the real one", (name) => {
  it("in what needs no container", () =>
    same(name, async ({ call, configure }) => {
      configure("true");
      const plain = [["--version"], ["--help"], ["help"], ["features"], ["list"], ["list", "-q"]];
      const more = [["list", "--format", "json"], ["no-such"], ["--no-such"], ["create", "--no-such"], []];
      const wrong = [["run"], ["create"], ["state"], ["state", "none"], ["kill", "none"], ["ps", "none"]];
      const absent = [["delete", "none"], ["delete", "--force", "none"], ["exec", "none", "true"], ["start"]];
      const rest = [
        ["pause", "none"],
        ["events", "--stats", "none"],
        ["update", "none"],
        ["checkpoint", "none"],
        ["create", "--help"],
        ["run", "-h"],
      ];
      const results: unknown[] = [];
      for (const words of [...plain, ...more, ...wrong, ...absent, ...rest])
        results.push(await call(...words));
      return results;
    }));

  it("in the file that spec writes", () =>
    same(name, async ({ callWith }) => {
      const dir = join(scratch, "spec");
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      const prefix = ["env", "-C", dir];
      const written = await callWith({ prefix }, "spec");
      const again = await callWith({ prefix }, "spec");
      return [written, again, readFileSync(join(dir, "config.json"), "utf8")];
    }));

  it("over the life of a container", () =>
    same(name, async ({ id, call, callWith, configure, file, read }) => {
      configure("trap 'exit 5' TERM; echo up >/up; while :; do sleep 0.05; done");
      const results: unknown[] = [];
      const step = async (...words: string[]) => results.push(await call(...words));
      const until = (...words: string[]) =>
        expect.poll(async () => ((await call(...words)) as Outcome).status).toBe(0);
      rmSync(file("pid"), { force: true });
      await step("create", "--pid-file", file("pid"), id);
      const { pid } = JSON.parse(
        (await sh(name, ["--root", join(host.dir, "state"), "state", id], { env: { PATH: host.path } }))
          .stdout,
      );
      results.push(Number(readFileSync(file("pid"), "utf8")) === pid);
      await step("state", id);
      await step("list", "-q");
      results.push(existsAlready(await call("create", id)));
      await step("start", id);
      await until("exec", id, "test", "-e", "/up");
      await step("start", id);
      await step("exec", id, "sh", "-c", "pwd; id; env; echo err >&2; exit 9");
      await step(
        "exec",
        "--cwd",
        "/tmp",
        "--env",
        "A=b c",
        "--user",
        "1000:1000",
        id,
        "sh",
        "-c",
        "pwd; id; env",
      );
      await step("exec", id, "/no/such");
      await step("exec", id, "sh", "-c", "kill -KILL $$");
      results.push(await callWith({ input: "given\n" }, "exec", id, "cat"));
      results.push(
        await callWith(
          { prefix: ["python3", "-c", SURROUNDINGS] },
          "exec",
          "--preserve-fds",
          "2",
          id,
          "sh",
          "-c",
          INSIDE,
        ),
      );
      await step("exec", "--detach", "--pid-file", file("exec-pid"), id, "sh", "-c", "echo >/detached");
      await until("exec", id, "test", "-e", "/detached");
      const detached = read("exec-pid");
      results.push(/^[0-9]+$/.test(detached));
      await expect.poll(() => existsSync(`/proc/${detached}/exe`)).toBe(false);
      await step("ps", "--format", "json", id).then(() => countPids(results));
      if (name === "runc") await step("ps", id, "-o", "args");
      await step("pause", id);
      await step("state", id);
      await step("resume", id);
      await step("state", id);
      if (name === "runc") results.push(await statsShape(id, call));
      results.push(await updated(id, call, callWith));
      await step("delete", id);
      await step("kill", id, "TERM");
      await expect.poll(async () => ((await call("state", id)) as Outcome).stdout).toContain("stopped");
      await step("state", id);
      await step("exec", id, "true");
      await step("kill", id, "KILL");
      await step("delete", id);
      await step("delete", id);
      configure("sleep 60");
      await step("run", "--detach", id);
      await step("delete", "--force", id);
      await step("list");
      return results;
    }));

  it("in what a container is given", () =>
    same(name, async ({ id, callWith, configure, file }) => {
      const prefix = ["python3", "-c", SURROUNDINGS];
      configure(INSIDE);
      const without = await callWith({ prefix, input: "given\n" }, "run", id);
      const preserved = await callWith({ prefix }, "run", "--preserve-fds", "1", id);
      // a socket unit's descriptors, and where a service says that it is ready
      const activated = await callWith(
        { prefix: ["env", "LISTEN_FDS=2", `NOTIFY_SOCKET=${file("notify")}`, ...prefix] },
        "run",
        id,
      );
      configure("cat; exit 3");
      const input = await callWith({ input: "given\n" }, "run", id);
      configure("kill -TERM $$");
      const signalled = await callWith({}, "run", id);
      return [preserved, without, activated, input, signalled];
    }));

  it("at a terminal", () =>
    same(name, async ({ id, call, callWith, configure }) => {
      const prefix = ["python3", "-c", TERMINAL];
      configure("tty; test -t 2 && echo terminal; sleep 0.5; exit 6", (config) => {
        config.process.terminal = true;
      });
      const run = await callWith({ prefix, unlogged: true }, "run", id);
      configure("sleep 60");
      await call("run", "--detach", id);
      const exec = await callWith(
        { prefix, unlogged: true },
        "exec",
        "-t",
        id,
        "sh",
        "-c",
        "tty; test -t 0 && echo terminal; sleep 0.5; exit 4",
      );
      await call("delete", "--force", id);
      return [run, exec];
    }));

  it("in what goes wrong", () =>
    same(name, async ({ id, call, configure }) => {
      const results: unknown[] = [];
      const failing = async (edit: (config: Config) => void, ...words: string[]) => {
        configure("true", edit);
        results.push(await call(...(words.length > 0 ? words : ["run", id])));
      };
      await failing((config) => {
        config.process.args = ["/no/such"];
      });
      await failing((config) => {
        config.process.args = ["/etc/passwd"];
      });
      await failing((config) => {
        config.process.cwd = "relative";
      });
      await failing((config) => {
        config.mounts.push({ destination: "/x", type: "nosuchfs", source: "none" });
      });
      await failing((config) => {
        config.hooks.createRuntime = [{ path: "/bin/sh", args: ["sh", "-c", "echo hook >&2; exit 3"] }];
      });
      await failing((config) => {
        config.linux.namespaces.push({ type: "nosuch" });
      });
      await failing(() => {}, "run", "--bundle", "/no/such/bundle", id);
      await failing(() => {}, "run", "--pid-file", "/no/such/dir/pid", id);
      await failing(() => {}, "run", "--console-socket", "/no/such/socket", id);
      await failing(
        (config) => {
          config.process.terminal = true;
        },
        "create",
        id,
      );
      results.push(await call("list"));
      return results;
    }));

  it("with the options of rootless engines", () =>
    same(name, async ({ id, call, configure }) => {
      configure("cat /proc/self/cgroup | wc -l; echo ran");
      const words =
        name === "runc"
          ? [["--rootless=true"], ["--rootless", "false"]]
          : [["--cgroup-manager=disabled"], ["--rootless=0"]];
      const results: unknown[] = [];
      for (const option of words) results.push(await call(...option, "run", id));
      return results;
    }));
});

/** What a process in a container sees of what its starter had. */
const INSIDE = [
  // biome-ignore lint/suspicious/noTemplateCurlyInString: for the shell
  "for fd in /proc/$$/fd/*; do echo ${fd##*/}; done",
  "cat <&3 >/dev/null && echo third",
  "grep -E '^(Sig(Blk|Ign|Cgt)|ShdPnd|NoNewPrivs|Seccomp|Cap|Groups|Uid|Umask)' /proc/self/status",
  "cat /proc/self/limits /proc/self/oom_score_adj /proc/self/personality",
  "umask; env; pwd; id",
].join("; ");

/** A container on a base is refused in our words: the runtime's own look would come too late. */
function existsAlready(outcome: unknown): boolean {
  const { status, stderr } = outcome as Outcome;
  return status !== 0 && /exist/.test(stderr);
}

/** The list of process ids that was seen last, as a number. */
function countPids(results: unknown[]): void {
  const last = results.pop() as Outcome;
  results.push({ ...last, stdout: JSON.parse(last.stdout).length });
}

async function statsShape(id: string, call: Session["call"]): Promise<unknown> {
  const outcome = (await call("events", "--stats", id)) as Outcome;
  return { ...outcome, stdout: shape(JSON.parse(outcome.stdout)) };
}

/** Changes a limit in both ways that there are; what is in force then. */
async function updated(id: string, call: Session["call"], callWith: Session["callWith"]): Promise<unknown> {
  const first = await call("update", "--pids-limit", "77", id);
  const limit = (await sh("cat", [`/sys/fs/cgroup/pids/${id}/pids.max`])).stdout;
  const resources = JSON.stringify({ pids: { limit: 66 } });
  const second = await callWith({ input: resources }, "update", "--resources", "-", id);
  return [first, limit, second, (await sh("cat", [`/sys/fs/cgroup/pids/${id}/pids.max`])).stdout];
}
