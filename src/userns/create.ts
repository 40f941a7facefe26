/** Creates a user namespace with given maps, which needs a process in it for a moment. */
import { VeneerError } from "../errors.ts";
import { isErrno } from "../sys/errno.ts";
import { type Fd, openat, writeAll } from "../sys/fd.ts";
import { AT_FDCWD, O_WRONLY } from "../sys/flags.ts";
import { holdNewUserNamespace } from "../sys/spawn.ts";
import { type IdMap, openNamespace } from "../sys/user-namespace.ts";
import { mapText } from "./id-map.ts";

/** Creates a user namespace with these maps and opens it. Throws VeneerError where that is not allowed. */
export function makeNamespace(map: IdMap): Fd {
  using holder = holdNewUserNamespace();
  if (!holder) {
    throw new VeneerError("NO_USER_NAMESPACE", "cannot make a user namespace", {
      hint: "see user.max_user_namespaces (sysctl), and whether 'unshare --user true' works",
    });
  }
  writeMap(`/proc/${holder.pid}/uid_map`, mapText(map.uids));
  writeMap(`/proc/${holder.pid}/gid_map`, mapText(map.gids));
  return openNamespace(`/proc/${holder.pid}/ns/user`);
}

/** Writes a map with one write(2), as the kernel requires (user_namespaces(7)). */
function writeMap(path: string, text: string): void {
  try {
    using file = openat(AT_FDCWD, path, O_WRONLY);
    writeAll(file.number, new TextEncoder().encode(text), path);
  } catch (cause) {
    if (!isErrno(cause, "EINVAL", "EPERM", "ERANGE")) throw cause;
    throw new VeneerError(
      "BAD_ID_MAP",
      `the kernel rejects the map '${text.trim().replaceAll("\n", ", ")}'`,
      {
        cause,
        hint: "ranges must not overlap nor be empty, and there may be 340",
      },
    );
  }
}
