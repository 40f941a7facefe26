/** Makes a user namespace with given maps: it takes a process that is in it, for a moment. */
import { VeneerError } from "../errors.ts";
import { mapText } from "../plan/userns.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat, readlink, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_WRONLY } from "../sys/flags.ts";
import { identify } from "../sys/process.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { type IdMap, openNamespace } from "../sys/userns.ts";

/** Milliseconds for a small program to start. */
const START_TIME = 10_000;

/**
 * A new user namespace. A thread cannot come back from one that it has entered, and a run time like this one
 * cannot fork: so unshare(1) enters it, and `cat` waits there until the maps are written.
 */
export function makeNamespace(map: IdMap): Fd {
  const program = ["/usr/bin/unshare", "/bin/unshare"].find((path) => lstatMaybe(path));
  if (program === undefined) {
    throw new VeneerError("NO_UNSHARE", "/usr/bin/unshare is missing", { hint: "install util-linux" });
  }
  const child = Bun.spawn([program, "--user", "--", "/bin/cat"], {
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    stdio: ["pipe", "ignore", "ignore"],
  });
  try {
    const { pid } = child;
    waitUntilInside(pid);
    writeMap(`/proc/${pid}/uid_map`, mapText(map.uids));
    writeMap(`/proc/${pid}/gid_map`, mapText(map.gids));
    return openNamespace(`/proc/${pid}/ns/user`);
  } finally {
    child.kill("SIGKILL");
    child.unref();
  }
}

function waitUntilInside(pid: number): void {
  const own = readlink("/proc/self/ns/user");
  for (const end = Date.now() + START_TIME; ; Bun.sleepSync(0.2)) {
    const now = readlink(`/proc/${pid}/ns/user`);
    if (now !== undefined && now !== own) return;
    if (identify(pid) && Date.now() < end) continue;
    throw new VeneerError("NO_USERNS", "cannot make a user namespace", {
      hint: "see user.max_user_namespaces (sysctl), and whether 'unshare --user true' works",
    });
  }
}

/** One write(2), as the kernel demands. */
function writeMap(path: string, text: string): void {
  try {
    using file = openat(AT_FDCWD, path, O_WRONLY);
    writeAll(file.number, new TextEncoder().encode(text), path);
  } catch (cause) {
    if (!isErrno(cause, "EINVAL", "EPERM", "ERANGE")) throw cause;
    throw new VeneerError(
      "BAD_MAP",
      `the kernel does not take the map '${text.trim().replaceAll("\n", ", ")}'`,
      {
        cause,
        hint: "ranges must not overlap nor be empty, and there may be 340",
      },
    );
  }
}
