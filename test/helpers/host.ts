/** A host of its own for a test: store, records, the compiled program, the wrapping runtimes. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { PATIENCE } from "./wait.ts";

export const PROJECT = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const PROGRAM = join(PROJECT, "dist/veneer");

/** The names by which engines call the wrapping runtime. */
export const WRAPPERS = ["veneer-runc", "veneer-crun"] as const;

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly input?: string | Uint8Array;
}

/** Runs a program to its end; a failure is an outcome, not an exception. A signal counts as 128+N. */
export async function sh(file: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const result = await execa(file, args, {
    reject: false,
    timeout: 120_000 * PATIENCE,
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.env !== undefined && { env: options.env }),
    ...(options.input !== undefined ? { input: options.input } : { stdin: "ignore" as const }),
  });
  if (result.exitCode === undefined && result.signal === undefined) throw result;
  return { status: result.exitCode ?? 128, stdout: String(result.stdout), stderr: String(result.stderr) };
}

/** Like {@link sh}, but throws unless the status is 0; returns stdout. */
export async function must(file: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const outcome = await sh(file, args, options);
  if (outcome.status === 0) return outcome.stdout;
  throw new Error(`${file} ${args.join(" ")}: status ${outcome.status}: ${outcome.stderr || outcome.stdout}`);
}

/** Compiles a C program of test/fixtures, which then runs in any container. */
export const compileFixture = (name: string, program: string): Promise<string> =>
  must("gcc", [
    ...["-static", "-O1", "-Wall", "-Wextra", "-o", program],
    join(PROJECT, "test/fixtures", `${name}.c`),
  ]);

export interface Host {
  /** everything of this host is below it */
  readonly dir: string;
  readonly root: string;
  readonly run: string;
  /** holds `veneer` (with this host's --root and --run), `veneer-runc`, `veneer-crun` and, for crun on a hybrid cgroup layout, `crun` */
  readonly bin: string;
  /** PATH that begins with `bin` */
  readonly path: string;
  veneer(...args: string[]): Promise<Outcome>;
  /** Like `veneer`, but throws unless the status is 0; returns stdout. */
  ok(...args: string[]): Promise<string>;
  /** Removes the host. Mounts vanish with the test's private mount namespace; what is mounted now is unmounted. */
  remove(): Promise<void>;
}

/** The program's options for this host's store, which come before the verb. */
export const storeOptions = ({ root, run }: Pick<Host, "root" | "run">): string[] => [
  "--root",
  root,
  "--run",
  run,
];

/** However busy the machine is, no live rebase is too slow, unless a test gives a limit of its own. */
const PATIENT =
  'case $1 in rebase | fallback | rollout) verb=$1; shift; set -- "$verb" --pause-limit 60000 "$@" ;; esac';

/** `parent`: a directory for it, when it must be on a certain file system. */
export function makeHost(parent = "/tmp"): Host {
  const dir = mkdtempSync(join(parent, "veneer-test-"));
  // no afterAll removes the host of skipped tests: the runner does
  if (process.env.VENEER_TEST_SKIP)
    process.env.VENEER_TEST_HOSTS = `${process.env.VENEER_TEST_HOSTS ?? ""} ${dir}`;
  const bin = join(dir, "bin");
  const root = join(dir, "store");
  const run = join(dir, "run");
  mkdirSync(bin);
  script(join(bin, "veneer"), `${PATIENT}\nexec ${PROGRAM} ${storeOptions({ root, run }).join(" ")} "$@"`);
  // the store by a configuration file: an engine's annotations stay an engine's
  const config = join(dir, "veneer.json");
  writeFileSync(config, JSON.stringify({ root, run }));
  for (const name of WRAPPERS) {
    script(join(bin, name), `exec ${join(PROJECT, "dist", name)} --veneer-store '' '' ${config} "$@"`);
  }
  // crun refuses a cgroup v1 host that also mounts a v2 hierarchy on unified/
  if (existsSync("/sys/fs/cgroup/unified") && existsSync("/usr/bin/crun")) {
    script(
      join(bin, "crun"),
      `exec unshare -m --propagation slave sh -c 'umount /sys/fs/cgroup/unified; exec /usr/bin/crun "$@"' crun "$@"`,
    );
  }
  const path = `${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  const veneer = (...args: string[]) => sh(join(bin, "veneer"), args, { env: { PATH: path } });
  return {
    dir,
    root,
    run,
    bin,
    path,
    veneer,
    ok: (...args) => must(join(bin, "veneer"), args, { env: { PATH: path } }),
    async remove() {
      // containers of a test that failed half-way
      const state = join(dir, "state");
      for (const id of existsSync(state) ? readdirSync(state) : []) {
        // runc would forget one of crun's and leave it running
        const name = existsSync(join(state, id, "status")) ? "crun" : "runc";
        await sh(name, ["--root", state, "delete", "--force", id], { env: { PATH: path } });
      }
      const { stdout } = await sh("findmnt", ["-rno", "TARGET"]);
      const mounts = stdout.split("\n").filter((target) => target.startsWith(`${dir}/`));
      for (const target of mounts.reverse()) await sh("umount", ["-l", target]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/**
 * For tests in which crun must run in this namespace, not in one of its own: takes the v2 hierarchy away here
 * instead. `possible` is false where this is the namespace of the whole machine (not started by npm test).
 */
export function plainCrun(host: Host) {
  const unified = "/sys/fs/cgroup/unified";
  const wrapper = join(host.bin, "crun");
  const needed = existsSync(wrapper);
  const possible = !needed || process.env.VENEER_TEST_NAMESPACE === "private";
  return {
    possible,
    async begin() {
      if (!needed || !possible) return;
      await must("umount", [unified]);
      rmSync(wrapper);
    },
    async end() {
      if (needed && possible) await must("mount", ["-t", "cgroup2", "cgroup2", unified]);
    },
  };
}

function script(path: string, body: string): void {
  writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}
