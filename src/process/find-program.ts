/** Programs of the host: where they are, and how to get one that is missing. */
import { S_IFREG } from "../sys/flags.ts";
import { programPath } from "../sys/self.ts";
import { isType, isExecutable as mayExecute, statMaybe } from "../sys/stat.ts";

/** The executables of that name on PATH, in its order. */
function* findPrograms(name: string, path: string | undefined): Generator<string> {
  for (const directory of (path || "/usr/sbin:/usr/bin:/sbin:/bin").split(":")) {
    if (directory.startsWith("/") && isExecutable(`${directory}/${name}`)) yield `${directory}/${name}`;
  }
}

export function findProgram(name: string, path: string | undefined): string | undefined {
  for (const file of findPrograms(name, path)) return file;
  return undefined;
}

export function isExecutable(file: string): boolean {
  return mayExecute(file) && isType(statMaybe(file), S_IFREG);
}

/** The real runtime of that name: from the configuration, else on PATH. */
export function findRuntime(
  name: string,
  configured: Readonly<Record<string, string>>,
  path: string | undefined,
): string | undefined {
  const file = configured[name];
  if (file !== undefined) return isExecutable(file) ? file : undefined;
  for (const candidate of findPrograms(name, path)) if (!isWrapper(candidate)) return candidate;
  return undefined;
}

/** A link to our own program, in front of the real runtime. */
function isWrapper(file: string): boolean {
  const own = statMaybe(programPath());
  const found = statMaybe(file);
  return own !== undefined && found?.ino === own.ino && found.dev === own.dev;
}

const INSTALLERS: readonly (readonly [string, string])[] = [
  ["apt-get", "apt-get install"],
  ["dnf", "dnf install"],
  ["apk", "apk add"],
  ["pacman", "pacman -S"],
  ["zypper", "zypper install"],
];

/** How to install a package here: `apt-get install runc`. */
export function installHint(name: string): string {
  const installer = INSTALLERS.find(([program]) => findProgram(program, undefined) !== undefined);
  return `${installer?.[1] ?? "install the package"} ${name}`;
}
