/**
 * The options of runc and crun before and after the command, for the commands that veneer prepares. Taken
 * from `--help` and the sources of runc 1.0 to 1.5 (main.go, create.go, run.go, restore.go, checkpoint.go) and of
 * crun 1.0 to 1.28 (crun.c, create.c, run.c, restore.c, checkpoint.c). Pure data.
 */

/** An option's canonical name, and whether it takes a value. */
export interface RuntimeOption {
  readonly name: string;
  readonly value: boolean;
}

/** How a runtime reads its command line. */
export interface Dialect {
  /**
   * `go`: one dash or two, `-b=X`, options behind the operand too (urfave/cli reorders them). `getopt`: letters that
   * may be joined (`-db DIR`), long options that may be abbreviated, nothing behind the operand (argp, in order).
   */
  readonly style: "go" | "getopt";
  readonly global: ReadonlyMap<string, RuntimeOption>;
  readonly command: ReadonlyMap<string, RuntimeOption>;
  /** the most operands that a command takes, including the id */
  readonly operands: ReadonlyMap<string, number>;
}

/** Options that print something and start nothing. */
export const ENDING: ReadonlySet<string> = new Set(["help", "usage", "version"]);

/** `values` and `flags` list names; the names of one option are joined by `|`, the canonical one first. */
function options(values: string, flags: string): ReadonlyMap<string, RuntimeOption> {
  const all = new Map<string, RuntimeOption>();
  for (const [words, value] of [
    [values, true],
    [flags, false],
  ] as const) {
    for (const word of words.split(" ")) {
      const names = word.split("|");
      for (const name of names) all.set(name, { name: names[0] as string, value });
    }
  }
  return all;
}

/** The commands that veneer prepares, with the number of their operands. */
export const PREPARED: ReadonlyMap<string, number> = new Map([
  ["create", 1],
  ["run", 1],
  ["restore", 1],
  ["checkpoint", 1],
]);

const RUNC_GLOBAL_VALUES = "log log-format root criu rootless";
const RUNC_GLOBAL_FLAGS = "debug systemd-cgroup";

const runc = (): Dialect => ({
  style: "go",
  global: options(RUNC_GLOBAL_VALUES, `${RUNC_GLOBAL_FLAGS} help|h version|v`),
  // since 1.6, runc accepts its global options after the command too
  command: options(
    `bundle|b console-socket pidfd-socket pid-file preserve-fds image-path work-path parent-path manage-cgroups-mode \
empty-ns lsm-profile lsm-mount-context status-fd page-server ${RUNC_GLOBAL_VALUES}`,
    `detach|d keep no-subreaper no-pivot no-new-keyring tcp-established tcp-skip-in-flight link-remap ext-unix-sk \
shell-job file-locks auto-dedup lazy-pages leave-running pre-dump ${RUNC_GLOBAL_FLAGS} help|h`,
  ),
  operands: PREPARED,
});

const crun = (): Dialect => ({
  style: "getopt",
  global: options(
    "cgroup-manager log log-format log-level root rootless program-name",
    "debug systemd-cgroup help|? usage version|v|V",
  ),
  command: options(
    "bundle|b config|f console-socket preserve-fds pid-file image-path work-path parent-path manage-cgroups-mode \
lsm-profile lsm-mount-context program-name",
    "detach|d keep no-pivot no-subreaper no-new-keyring tcp-established tcp-close ext-unix-sk shell-job file-locks \
leave-running pre-dump network-lock help|? usage",
  ),
  operands: new Map([...PREPARED, ["restore", 2], ["checkpoint", 2]]),
});

/** The dialect of a runtime, by its name. Engines call other runtimes as they call runc. */
export function dialectOf(runtime: string): Dialect {
  return runtime === "crun" ? crun() : runc();
}
