/** Programs of the host: where they are, and how to get one that is missing. */
import { openat, readSome } from "../sys/fd.ts";
import { AT_FDCWD, O_RDONLY, S_IFREG } from "../sys/flags.ts";
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

/** The second line of our wrapping runtime, by which it is told from a real one of the same name. */
const WRAPPER = "# veneer wrapping runtime";

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

function isWrapper(file: string): boolean {
  const start = new Uint8Array(4096);
  using script = openat(AT_FDCWD, file, O_RDONLY);
  const length = readSome(script.number, start, file);
  return new TextDecoder().decode(start.subarray(0, length)).split("\n", 2)[1]?.startsWith(WRAPPER) === true;
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
