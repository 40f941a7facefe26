/** Runtimes that hold the root open while their hooks run, and so may not see what is mounted over it. */
import { isErrno } from "../sys/errno.ts";
import { readlink } from "../sys/fd.ts";
import { list, type Stat, statMaybe } from "../sys/stat.ts";

export const USE_WRAPPER = "use the wrapping runtime veneer-runc (or veneer-crun) in place of the hook";

/**
 * How a runtime's process holds the root. "crun": it opens the root before the hooks and later masks paths through that
 * descriptor, but resolves root.path again to pivot (crun, src/libcrun/linux.c: do_pivot, do_masked_or_readonly_path).
 * "free": it does not hold the root. "held": any other runtime that does. runc since 1.5.0 (1.4.3 and 1.3.6 in the
 * older lines) pivots through its descriptor, so that it would silently miss a mount over the root.
 */
export function rootHolder(pid: number, root: Stat): "free" | "crun" | "held" {
  if (isCrun(pid)) return "crun";
  const places = list(`/proc/${pid}/fd`).map((name) => `fd/${name}`);
  return [...places, "cwd"].some((place) => isSame(pid, place, root)) ? "held" : "free";
}

const CRUN_PLACES = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/bin", "/sbin"];

/**
 * Recognizes crun by its executable. Where crun protects itself, it runs from a copy in memory
 * (`/memfd:crun_cloned:…`), or from a detached mount of its file (shown as `/`), which is then the file of an installed
 * crun. The name of the process does not help: before Linux 6.14 it is then the number of a descriptor.
 */
function isCrun(pid: number): boolean {
  const path = `/proc/${pid}/exe`;
  const executable = readlink(path) ?? "";
  if (executable !== "/") return /(^|[/:])crun/.test(executable);
  const file = statMaybe(path);
  return CRUN_PLACES.some((place) => {
    const installed = statMaybe(`${place}/crun`);
    return installed !== undefined && installed.ino === file?.ino && installed.dev === file.dev;
  });
}

function isSame(pid: number, place: string, root: Stat): boolean {
  try {
    const status = statMaybe(`/proc/${pid}/${place}`);
    return status?.mountId === root.mountId && status.ino === root.ino;
  } catch (error) {
    // the link leads to a pipe or socket, which cannot be looked up, or may not be followed
    if (isErrno(error, "ENXIO", "EACCES")) return false;
    throw error;
  }
}
