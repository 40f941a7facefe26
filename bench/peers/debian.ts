/** A Debian that the benchmark starts containers on, as users have: made once by debootstrap, kept in build/. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CannotRun } from "../compile.ts";
import { has, PATH, PROJECT } from "../context.ts";

const SCRIPT = `
. scripts/apt-elsewhere.sh
mirror=$(debian_mirror)
[ -n "$mirror" ] || { echo "no mirror of Debian in /etc/apt" >&2; exit 1; }
release=$(. /etc/os-release && echo "\${VERSION_CODENAME:-stable}")
debootstrap --variant=minbase "$release" "$1" "$mirror" >"$1.log" 2>&1 || { tail -n 2 "$1.log" >&2; exit 1; }
rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1.log"
`;

/** The directory of its root, some 200 MB. Throws {@link CannotRun} where it cannot be made. */
export function debianTree(): string {
  const tree = join(PROJECT, "build/bench-debian");
  if (existsSync(tree)) return tree;
  if (!has("debootstrap"))
    throw new CannotRun("debootstrap is not installed; hint: apt-get install debootstrap");
  const made = `${tree}.new`;
  rmSync(made, { recursive: true, force: true });
  mkdirSync(join(PROJECT, "build"), { recursive: true });
  try {
    execFileSync("bash", ["-euc", SCRIPT, "bash", made], {
      cwd: PROJECT,
      env: { PATH },
      stdio: ["ignore", "ignore", "pipe"],
      encoding: "utf8",
    });
  } catch (error) {
    throw new CannotRun(`debootstrap: ${String((error as { stderr?: string }).stderr ?? error).trim()}`);
  }
  renameSync(made, tree);
  return tree;
}
