/** Which program the wrapping runtime becomes. */
import { VeneerError } from "../errors.ts";
import { S_IFREG } from "../sys/flags.ts";
import { isExecutable, isType, type Stat, statMaybe } from "../sys/stat.ts";

export interface RealRuntime {
  /** the runtime whose command line it accepts: runc, crun or another */
  readonly name: string;
  readonly path: string;
}

/** What to look for, in this order, when the name of this program names no runtime. */
const DEFAULTS = ["runc", "crun"];

/** Where execvp(3) searches when PATH is not set. */
const DEFAULT_PATH = "/bin:/usr/bin";

/**
 * Finds the real runtime: in the configuration, else on PATH. `invoked` is the name by which this program was called:
 * `veneer-runc`, or `runc` for a link that precedes the real one on PATH. When it was called by the runtime's own name,
 * only what follows it on PATH counts, so that copies of it never call each other in a circle. Any other name, such as
 * that of a copy that an engine calls by its path, means the default runtime. Throws where there is none.
 */
export function findRealRuntime(
  invoked: string,
  configured: Readonly<Record<string, string>>,
  path: string = DEFAULT_PATH,
): RealRuntime {
  const called = invoked.replace(/^veneer-/, "");
  const own = statMaybe("/proc/self/exe");
  const names = [...new Set(DEFAULTS.includes(called) ? [called] : [called, ...DEFAULTS])];
  for (const name of names) {
    const file = Object.hasOwn(configured, name)
      ? configured[name]
      : runtimeOnPath(name, path, own, invoked === name);
    if (file !== undefined) return { name: dialectName(name, file), path: file };
  }
  const [first, ...others] = DEFAULTS.includes(called) ? names : DEFAULTS;
  const place = own ? "on PATH behind this program" : "on PATH";
  throw new VeneerError("NO_RUNTIME", `no ${[first, ...others].join(" and no ")} ${place}`, {
    hint: `install ${first}, or name it in /etc/veneer/config.json under "runtimes"`,
  });
}

/** The runtime whose command line `file` accepts: a configured path may name another runtime than the key. */
function dialectName(name: string, file: string): string {
  const base = file.slice(file.lastIndexOf("/") + 1);
  return DEFAULTS.includes(base) ? base : name;
}

/**
 * The first executable of that name on `path` that is not this program (`own`). With `behind`, this program was called
 * by that very name, and an executable before it on `path` may be its caller, so only one after it counts.
 */
export function runtimeOnPath(
  name: string,
  path: string,
  own: Stat | undefined,
  behind = false,
): string | undefined {
  let first: string | undefined;
  let passed = false;
  for (const directory of path.split(":")) {
    const candidate = `${directory || "."}/${name}`;
    const found = statQuietly(candidate);
    if (!found || !isType(found, S_IFREG) || !isExecutable(candidate)) continue;
    if (own && found.ino === own.ino && found.dev === own.dev) passed = true;
    else if (passed || !behind) return candidate;
    else first ??= candidate;
  }
  return passed && behind ? undefined : first;
}

function statQuietly(path: string): Stat | undefined {
  try {
    return statMaybe(path);
  } catch {
    // a directory of PATH that this process may not search
    return undefined;
  }
}
