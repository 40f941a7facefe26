/** Programs of the host: where they are, and how to get one that is missing. */
import { VeneerError } from "../errors.ts";
import { runtimeOnPath } from "../runtime/real-runtime.ts";
import { S_IFREG } from "../sys/flags.ts";
import { programPath } from "../sys/self.ts";
import { isType, isExecutable as mayExecute, statMaybe } from "../sys/stat.ts";

/** Where programs are looked for that we run for ourselves, whatever the caller's PATH is. */
export const PROGRAM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Debian's package for a program, where it is not the program's name. */
const PACKAGES: Readonly<Record<string, string>> = {
  cp: "coreutils",
  sync: "coreutils",
  rm: "coreutils",
  du: "coreutils",
  timeout: "coreutils",
  env: "coreutils",
  sh: "dash",
  nsenter: "util-linux",
  setpriv: "util-linux",
  unshare: "util-linux",
  xz: "xz-utils",
};

/** The absolute path of a program, which may be given by one; undefined where there is none. */
export function findProgram(name: string, path: string = PROGRAM_PATH): string | undefined {
  if (name.startsWith("/")) return isExecutable(name) ? name : undefined;
  const directories = path.split(":").filter((directory) => directory.startsWith("/"));
  return directories.map((directory) => `${directory}/${name}`).find(isExecutable);
}

/** Like {@link findProgram}; throws an error that names the package. */
export function requireProgram(name: string): string {
  const found = findProgram(name);
  if (found) return found;
  throw new VeneerError("NO_PROGRAM", `the program ${name} is not installed`, { hint: installHint(name) });
}

export function isExecutable(file: string): boolean {
  return mayExecute(file) && isType(statMaybe(file), S_IFREG);
}

/** The real runtime of that name, as the wrapping runtime finds it: from the configuration, else on PATH. */
export function findRuntime(
  name: string,
  configured: Readonly<Record<string, string>>,
  path: string = PROGRAM_PATH,
): string | undefined {
  const file = configured[name];
  if (file !== undefined) return isExecutable(file) ? file : undefined;
  return runtimeOnPath(name, path, statMaybe(programPath()));
}

const INSTALLERS: readonly (readonly [string, string])[] = [
  ["apt-get", "apt-get install"],
  ["dnf", "dnf install"],
  ["apk", "apk add"],
  ["pacman", "pacman -S"],
  ["zypper", "zypper install"],
];

/** How to install a program here: `apt-get install runc`. */
export function installHint(name: string): string {
  const installer = INSTALLERS.find(([program]) => findProgram(program) !== undefined);
  return `${installer?.[1] ?? "install the package"} ${PACKAGES[name] ?? name}`;
}
