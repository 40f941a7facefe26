/** Stages of a container at which `hook oci` comes too late (OCI runtime specification, config.md). */
import { VeneerError } from "../errors.ts";
import { type BundleConfig, parseBundleConfig } from "../request/oci-config.ts";
import type { State } from "../request/oci-state.ts";
import { isErrno } from "../sys/errno.ts";
import { readlink, readText } from "../sys/fd.ts";
import { identify, killProcess } from "../sys/process.ts";
import { getpid, getppid } from "../sys/self.ts";
import { lstatMaybe, statMaybe } from "../sys/stat.ts";

const HINT = "configure veneer hook oci at createRuntime (or prestart) and poststop";

/**
 * The stage of this hook if the container has its root already; undefined at prestart and createRuntime, as far as that
 * can be determined. The state does not tell: crun's is "created" at createRuntime, and runc's at poststart.
 */
export function lateStage({ bundle, pid }: State): string | undefined {
  // after the pivot, the host's files are no longer visible
  const seesHost = () => bundle !== undefined && lstatMaybe(`${bundle}/config.json`) !== undefined;
  if (isInContainer(pid)) return seesHost() ? "createContainer" : "startContainer";
  return pid !== undefined && hasPivoted(pid) ? "poststart" : undefined;
}

/**
 * Before its pivot, init has the same root directory as the runtime and its hooks, in a copy of their mount namespace.
 */
function hasPivoted(pid: number): boolean {
  try {
    const [own, its] = [statMaybe("/"), statMaybe(`/proc/${pid}/root`)];
    return its !== undefined && (its.ino !== own?.ino || its.dev !== own.dev);
  } catch (error) {
    // if this process may not look there, covering the root fails with a better error
    if (isErrno(error, "EACCES", "EPERM", "ESRCH")) return false;
    throw error;
  }
}

/**
 * Throws for a container that did not get its base at an earlier stage. Kills it at poststart, when it runs already,
 * since runtimes may let it continue.
 */
export function refuseLate(stage: string, { id, pid }: State): never {
  if (stage === "poststart" && pid !== undefined && identify(pid)) killProcess(pid);
  const what = stage === "poststart" ? "was ended: it ran without its base" : "has its root already";
  throw new VeneerError("STAGE", `the hook runs at ${stage}, and container ${id} ${what}`, { hint: HINT });
}

/**
 * Whether the container's init has started this process, as at createContainer and startContainer. Then the pid in the
 * state is that in the container's pid namespace, while /proc may still be the host's.
 */
function isInContainer(pid: number | undefined): boolean {
  return getppid() === pid || Number(readlink("/proc/self")) !== getpid();
}

/** Throws at poststop when the hook did not run at any earlier stage, so that the container ran on another root. */
export function refusePoststopAlone({ id, bundle }: State): void {
  const hooks = bundle === undefined ? undefined : hooksOf(`${bundle}/config.json`);
  if (!hooks?.poststop?.some(isOurs)) return;
  if (hooks.prestart?.some(isOurs) || hooks.createRuntime?.some(isOurs)) return;
  throw new VeneerError("STAGE", `the hook runs at poststop alone: container ${id} ran without its base`, {
    hint: HINT,
  });
}

function hooksOf(file: string): BundleConfig["hooks"] {
  const text = readText(file);
  return text === undefined ? undefined : parseBundleConfig(text, file).hooks;
}

function isOurs({ args = [] }: { readonly args?: readonly string[] }): boolean {
  return args.some((word, index) => word === "hook" && args[index + 1] === "oci");
}
