/** Checks engines, helper programs and the directory of this program. */
import { execFileSync } from "node:child_process";
import { lstatSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { findProgram, findRuntime, installHint, isExecutable } from "../process/find-program.ts";
import { PROGRAM_ENVIRONMENT } from "../process/run-program.ts";
import type { Config } from "../request/config.ts";
import { readText } from "../sys/fd.ts";
import { programPath } from "../sys/self.ts";
import { type Check, check, type Finding, not, ok } from "./check.ts";
import { engineFinding, parseVersion } from "./version.ts";

/** Name, program that prints the version, Debian package. */
const ENGINES = [
  ["runc", "runc", "runc"],
  ["crun", "crun", "crun"],
  ["lxc", "lxc-start", "lxc"],
  ["podman", "podman", "podman"],
  ["docker", "dockerd", "docker.io"],
  ["containerd", "containerd", "containerd"],
] as const;

/** Name, purpose, and whether it is required. */
const PROGRAMS = [
  ["setpriv", "every other program, which ends with veneer", true],
  ["unshare", "commands in a base that is edited, and all work without root", true],
  ["cp", "layers with more links than the file system permits, copies with shifted owners", false],
  ["gzip", "tar files and image layers that are written in gzip", false],
  ["xz", "tar files in xz", false],
  ["bzip2", "tar files in bzip2", false],
  ["zstd", "tar files and image layers that are written in zstd", false],
  ["tar", "images that are written to an archive", false],
  ["skopeo", "images from and to registries, docker archives", false],
] as const;

/** How long a program may take to print its version, in milliseconds. */
const PATIENCE = 10_000;

/** Checks which engines are installed, and what works with their versions. */
export function engineChecks(config: Config, path: string | undefined, hybrid: boolean): Check[] {
  const mayTrace = readText("/proc/sys/kernel/yama/ptrace_scope")?.trim() !== "3";
  const checks = ENGINES.map(([name, program, packageName]) =>
    check("engines", name, false, () => {
      const real = name === "runc" || name === "crun";
      const file = real ? findRuntime(name, config.runtimes, path) : findProgram(program, path);
      if (file === undefined) return not("missing", "not installed", installHint(packageName));
      const text = versionOf(file);
      const version = text && parseVersion(text);
      if (!version) {
        const what =
          text === undefined ? `prints no version within ${PATIENCE / 1000} seconds` : "prints no version";
        return not("unknown", `${file} ${what}`, `see what '${file} --version' says`);
      }
      const finding = engineFinding(name, version, { hybrid, mayTrace });
      return { ...finding, detail: `${finding.detail} (${file})` };
    }),
  );
  const any = checks.slice(0, 3).some(({ status }) => status !== "missing");
  const one = check("engines", "any", true, () =>
    any ? ok("runc, crun or LXC is there") : not("missing", "no runc, crun or LXC", installHint("runc")),
  );
  return [one, ...checks];
}

/** What a program prints with --version; undefined when it does not end in time. */
function versionOf(file: string): string | undefined {
  try {
    return execFileSync(file, ["--version"], {
      env: PROGRAM_ENVIRONMENT,
      encoding: "utf8",
      timeout: PATIENCE,
      stdio: "pipe",
    });
  } catch (error) {
    if ((error as { code?: unknown }).code === "ETIMEDOUT") return undefined;
    throw error;
  }
}

export function programChecks(): Check[] {
  return PROGRAMS.map(([name, purpose, required]) =>
    check("programs", name, required, () => {
      const file = findProgram(name);
      return file ? ok(file) : not("missing", `not installed: ${purpose}`, installHint(name));
    }),
  );
}

/** Checks the program and its links in the same directory. */
export function installationChecks(): Check[] {
  const directory = dirname(programPath());
  return [
    check("installation", "program", true, () => trusted(programPath())),
    ...["veneer-runc", "veneer-crun", "veneer-release"].map((name) =>
      check("installation", name, false, () => {
        const file = join(directory, name);
        if (isExecutable(file)) return trusted(file);
        return not("missing", `not in ${directory}`, "install the links of dist/ beside the program");
      }),
    ),
  ];
}

/** Engines run this file as root, so only root may be able to change it or a directory above it. */
function trusted(file: string): Finding {
  for (let path = file; ; path = dirname(path)) {
    const stat = lstatSync(path);
    const { uid, mode } = stat;
    const sticky = (mode & 0o1000) !== 0;
    if (uid !== 0 && uid !== process.getuid?.()) {
      return not("limited", `${path} belongs to uid ${uid}`, "engines run it as root: chown root");
    }
    // the mode of a symbolic link itself means nothing (symlink(7))
    if ((mode & 0o022) !== 0 && !sticky && !stat.isSymbolicLink()) {
      return not("limited", `${path} can be written by others`, "engines run it as root: chmod go-w");
    }
    if (path === "/") break;
  }
  const real = realpathSync(file);
  return real === file ? ok(file) : trusted(real);
}
