/** Where the store of a user without root is. Reads no environment, because hooks may get that of an image. */
import { DEFAULT_CONFIG, DEFAULT_ROOT, DEFAULT_RUN } from "../store/paths.ts";
import { readText } from "../sys/fd.ts";
import { geteuid } from "../sys/process.ts";
import { inUserNamespace, outerUser } from "../sys/user-namespace.ts";

/** Defaults of --root, --run and --config. */
export interface DefaultPaths {
  readonly root: string;
  readonly run: string;
  readonly config: string;
}

export const ROOT_PATHS: DefaultPaths = { root: DEFAULT_ROOT, run: DEFAULT_RUN, config: DEFAULT_CONFIG };

/**
 * The uid of the user for whom this process acts: its own or, for root of a user namespace as under `podman unshare`,
 * the uid that this root has outside. Undefined for the machine's root.
 */
export function actingUser(): number | undefined {
  const uid = geteuid();
  if (uid !== 0) return uid;
  return inUserNamespace() ? outerUser() || undefined : undefined;
}

/**
 * The defaults for root, or for the user for whom this process acts. A user namespace whose root has no account outside
 * belongs to a container with an operating system of its own, where root gets root's defaults.
 */
export function defaultPaths(): DefaultPaths {
  const uid = actingUser();
  const home = uid === undefined ? undefined : homeOf(uid);
  if (uid === undefined || home === undefined) return ROOT_PATHS;
  return {
    root: `${home}/.local/share/veneer`,
    run: `/run/user/${uid}/veneer`,
    config: `${home}/.config/veneer/config.json`,
  };
}

/** The home directory of an account, from passwd(5). */
export function homeOf(uid: number): string | undefined {
  for (const line of (readText("/etc/passwd") ?? "").split("\n")) {
    const fields = line.split(":");
    if (fields[2] === String(uid) && fields[5]?.startsWith("/")) return fields[5];
  }
  return undefined;
}

/** The paths for a user according to the environment of a command (XDG Base Directory Specification). */
export function pathsOfEnvironment(
  uid: number,
  env: Readonly<Record<string, string | undefined>>,
): DefaultPaths {
  const absolute = (name: string) => (env[name]?.startsWith("/") ? env[name].replace(/\/+$/, "") : undefined);
  const home = absolute("HOME") ?? homeOf(uid) ?? "/";
  return {
    root: `${absolute("XDG_DATA_HOME") ?? `${home}/.local/share`}/veneer`,
    run: `${absolute("XDG_RUNTIME_DIR") ?? `/run/user/${uid}`}/veneer`,
    config: `${absolute("XDG_CONFIG_HOME") ?? `${home}/.config`}/veneer/config.json`,
  };
}
