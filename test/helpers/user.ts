/** A user without root: an account, subordinate ids and a session of its own, seen by its own processes alone. */
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Host, type Outcome, PROJECT, type RunOptions, sh } from "./host.ts";

export interface User {
  readonly uid: number;
  readonly name: string;
  readonly home: string;
  /** XDG_RUNTIME_DIR */
  readonly runtime: string;
  readonly store: string;
  readonly run: string;
  /** holds the program and the wrapping runtimes */
  readonly bin: string;
  readonly env: Readonly<Record<string, string>>;
  /** Runs a program as the user. */
  sh(file: string, args: readonly string[], options?: RunOptions): Promise<Outcome>;
  veneer(...args: string[]): Promise<Outcome>;
  /** Like `veneer`, but throws unless the status is 0; returns stdout. */
  ok(...args: string[]): Promise<string>;
  /** Ends what is left of its processes, and removes what is outside of the host's directory. */
  end(): void;
  /** what `sh` puts before the program: for a test that keeps the process */
  readonly prefix: readonly string[];
}

export interface UserOptions {
  readonly uid?: number;
  /** first of 65536 subordinate ids; absent: none */
  readonly subordinate?: number | undefined;
  /** whom /proc shows to it: a value of `hidepid` (proc(5)) */
  readonly hidepid?: string;
}

/**
 * Each process of the user is in a mount namespace of its own in which the accounts and /etc/subuid are those of
 * the test, and the program is where the user can reach it. crun takes no hybrid control groups.
 */
const ENTER = `for name in passwd group subuid subgid; do mount --bind "$1/$name" "/etc/$name" || exit; done
mount --bind "$2" "$1/bin" && mount --bind "$1/runtime" "/run/user/$3" || exit
umount /sys/fs/cgroup/unified 2>/dev/null
[ ! -d "$4" ] || mount --rbind "$4" /run/veneer-shared || exit
[ "$5" = off ] || mount -t proc -o "hidepid=$5" proc /proc || exit
uid=$3
shift 5
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"`;

export function makeUser(host: Host, options: UserOptions = {}): User {
  const { uid = 47110, subordinate = 500_000, hidepid = "off" } = options;
  const withIds = !("subordinate" in options) || options.subordinate !== undefined;
  const name = `tester${uid}`;
  const dir = join(host.dir, name);
  const home = join(dir, "home");
  const runtime = `/run/user/${uid}`;
  chmodSync(host.dir, 0o755);
  for (const directory of [dir, home, join(dir, "bin"), join(dir, "runtime")]) mkdirSync(directory);
  // a mount point, empty for everybody else
  mkdirSync(runtime, { recursive: true });
  for (const directory of [home, join(dir, "runtime")]) {
    chownSync(directory, uid, uid);
    chmodSync(directory, 0o700);
  }
  for (const file of ["passwd", "group"]) copyFileSync(join("/etc", file), join(dir, file));
  appendFileSync(join(dir, "passwd"), `${name}:x:${uid}:${uid}::${home}:/bin/sh\n`);
  appendFileSync(join(dir, "group"), `${name}:x:${uid}:\n`);
  for (const file of ["subuid", "subgid"]) {
    writeFileSync(join(dir, file), withIds ? `${name}:${subordinate}:65536\n` : "");
  }
  const bin = join(dir, "bin");
  const env = {
    PATH: `${bin}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: home,
    USER: name,
    XDG_RUNTIME_DIR: runtime,
  };
  const prefix = [
    "-m",
    "--propagation",
    "slave",
    "sh",
    "-c",
    ENTER,
    "sh",
    dir,
    join(PROJECT, "dist"),
    String(uid),
    `${host.run}-shared`,
    hidepid,
  ];
  const run = (file: string, args: readonly string[], more: RunOptions = {}) =>
    sh("unshare", [...prefix, "env", "-i", ...words({ ...env, ...more.env }), file, ...args], {
      cwd: "/",
      ...(more.input !== undefined && { input: more.input }),
    });
  const veneer = (...args: string[]) => run("veneer", args);
  return {
    uid,
    name,
    home,
    runtime,
    store: join(home, ".local/share/veneer"),
    run: join(runtime, "veneer"),
    bin,
    env,
    prefix,
    sh: run,
    veneer,
    end() {
      for (const pid of processesOf(uid)) {
        try {
          process.kill(pid, "SIGKILL");
        } catch {
          // gone meanwhile
        }
      }
      rmdirSync(runtime);
    },
    async ok(...args) {
      const outcome = await veneer(...args);
      if (outcome.status === 0) return outcome.stdout;
      throw new Error(`veneer ${args.join(" ")}: status ${outcome.status}: ${outcome.stderr}`);
    },
  };
}

/** Processes that act for a user, or for an id of its: podman leaves one that keeps its namespaces. */
function processesOf(uid: number): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^[0-9]+$/.test(name)) return [];
    try {
      const text = readFileSync(`/proc/${name}/status`, "utf8");
      return new RegExp(`^Uid:\\s+${uid}\\b`, "m").test(text) ? [Number(name)] : [];
    } catch {
      return []; // gone meanwhile
    }
  });
}

/** An empty value takes the variable away. */
function words(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).flatMap(([key, value]) => (value === "" ? [] : [`${key}=${value}`]));
}
