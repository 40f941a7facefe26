/** The wrapping runtime, on a test's own store. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Host, type Outcome, type RunOptions, sh } from "./host.ts";

/** Arguments that come before the runtime's own: another store than the default. */
export function storeArguments(host: Host, config = ""): string[] {
  return ["--veneer-store", host.root, host.run, config];
}

/** `veneer-RUNTIME --root DIR ARGS` on the host's store. */
export function wrapped(
  host: Host,
  name: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const all = [...storeArguments(host), "--root", join(host.dir, "state"), ...args];
  return sh(join(host.bin, `veneer-${name}`), all, { ...options, env: { PATH: host.path, ...options.env } });
}

/**
 * Puts a program named `runtime` into a directory of its own, which is returned: in place of a real runtime it
 * prints what it was given, so that two ways to call it can be compared.
 */
export function plantObserver(host: Host, runtime: string): string {
  const dir = join(host.dir, "observer");
  mkdirSync(dir, { recursive: true });
  const script = `#!/bin/bash
printf 'arg %q\\n' "$@"
echo "cwd $PWD"
echo "umask $(umask)"
env -u _ -u SHLVL | sort
cd /proc/$$/fd
for fd in [0-9]*; do [ "$fd" = 255 ] || echo "fd $fd $(readlink "$fd" | sed 's/[0-9]\\{2,\\}/N/g')"; done
grep -E '^(Sig(Blk|Ign|Cgt)|ShdPnd|NoNewPrivs|Seccomp|CapEff|Groups|Uid)' /proc/self/status
cat /proc/$$/limits /proc/$$/oom_score_adj
`;
  const path = join(dir, runtime);
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return dir;
}
