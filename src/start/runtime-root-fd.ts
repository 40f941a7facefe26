/** Runtimes that keep the root open across their hooks, and so may not see what is mounted over it. */
import { isErrno } from "../sys/errno.ts";
import { readlink } from "../sys/fd.ts";
import { list, type Stat, statMaybe } from "../sys/stat.ts";

export const USE_WRAPPER = "use the wrapping runtime veneer-runc (or veneer-crun) in place of the hook";

/**
 * "crun" when the container's process is crun: it opens the root before the hooks and masks paths in it by
 * that descriptor afterwards, but resolves root.path again to pivot (crun, src/libcrun/linux.c: do_pivot,
 * do_masked_or_readonly_path). "free" when nobody holds the root. "held" for any other runtime that does:
 * runc from 1.5.0 on (1.4.3 and 1.3.6 in the older lines) pivots through its descriptor, so that a covered root would silently be missed.
 */
export function rootHolder(pid: number, root: Stat): "free" | "crun" | "held" {
  if (isCrun(pid)) return "crun";
  const places = list(`/proc/${pid}/fd`).map((name) => `fd/${name}`);
  return [...places, "cwd"].some((place) => isSame(pid, place, root)) ? "held" : "free";
}

const CRUN_PLACES = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/bin", "/sbin"];

/**
 * By its executable: where crun protects itself, it runs from a copy in memory (`/memfd:crun_cloned:…`), or from a
 * mount of its file that is nowhere attached (`/`), which is then the very file of an installed crun. The name of the
 * process says nothing: before Linux 6.14 it is a descriptor's number there.
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
    // pipes and sockets have their place in no file system that could be looked up
    if (isErrno(error, "ENXIO", "EACCES")) return false;
    throw error;
  }
}
