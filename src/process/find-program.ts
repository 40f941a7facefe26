/** Programs of the host: where they are, and how to get one that is missing. */
import { accessSync, constants, readFileSync, statSync } from "node:fs";

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
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
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
  // a real runtime has megabytes, which need not be read to see that it is no script
  if (statSync(file).size > 65536) return false;
  return readFileSync(file, "latin1").split("\n", 2)[1]?.startsWith(WRAPPER) === true;
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
