/** Which program the wrapping runtime becomes. */
import { VeneerError } from "../errors.ts";
import { S_IFREG } from "../sys/flags.ts";
import { isExecutable, isType, type Stat, statMaybe } from "../sys/stat.ts";

export interface RealRuntime {
  /** whose command line it takes: runc, crun or another */
  readonly name: string;
  readonly path: string;
}

/** In this order, for a copy or link whose name stands for no runtime. */
const DEFAULTS = ["runc", "crun"];

/** Where execvp(3) looks when there is no PATH. */
const DEFAULT_PATH = "/bin:/usr/bin";

/**
 * `invoked`: the name that this program was called by: `veneer-runc`, or `runc` for a link in front of the real one.
 * The configuration counts first, then PATH. For a program called by the runtime's own name only what follows it on
 * PATH counts, so that copies of it never call each other in a circle. Any other name, as of a copy that an engine
 * calls by its path, leads to the default runtime. Throws where there is none.
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

/** A configured path may lead to another runtime than its name says. */
function dialectName(name: string, file: string): string {
  const base = file.slice(file.lastIndexOf("/") + 1);
  return DEFAULTS.includes(base) ? base : name;
}

/**
 * The first executable of that name on `path` that is not this program (`own`). `behind`: this program was called by that
 * very name, so an executable before it on `path` may be its caller; only one after it is taken.
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
    // a directory of PATH that may not be searched
    return undefined;
  }
}
