/** Paths that a user names and other users may have links in. */
import { VeneerError } from "../../errors.ts";
import { quote } from "../../text/quote.ts";
import { openCanonicalMaybe, openDirectory, readlink } from "../fd.ts";
import { S_IFLNK } from "../flags.ts";
import { geteuid } from "../process.ts";
import { fstat, isType, lstatMaybe } from "../stat.ts";
import { inUserNamespace, overflowIds } from "../user-namespace.ts";

/** As many as the kernel follows (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * The canonical path of a directory, the last component of which need not exist. Follows only symbolic links of root and
 * of this user, in directories of theirs: others could make theirs lead anywhere. Use the result by {@link openCanonical},
 * which notices when something in it has become a link. Throws MOUNT_POINT.
 */
export function trustedPath(path: string): string {
  let resolved = path.startsWith("/") ? "" : workingDirectory();
  const left = path.split("/");
  for (let links = 0; left.length > 0; ) {
    const name = left.shift() as string;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      resolved = resolved.slice(0, Math.max(resolved.lastIndexOf("/"), 0));
      continue;
    }
    using parent = openCanonicalMaybe(resolved || "/");
    const status = parent && lstatMaybe(name, parent.number);
    if (!parent || !isType(status, S_IFLNK)) {
      resolved += `/${name}`;
      continue;
    }
    const owners = [status?.uid, fstat(parent.number).uid];
    const stranger = owners.find((uid) => uid !== undefined && !isTrusted(uid));
    if (stranger !== undefined) throw strangersLink(`${resolved}/${name}`, stranger);
    if (++links > MAX_LINKS) throw new VeneerError("MOUNT_POINT", `${quote(path)} is a loop of links`);
    const target = readlink(name, parent.number) ?? "";
    if (target.startsWith("/")) resolved = "";
    left.unshift(...target.split("/"));
  }
  return resolved || "/";
}

/** In a user namespace the host's root is one of those that are not mapped; what is mounted there is the user's own affair. */
function isTrusted(uid: number): boolean {
  return uid === 0 || uid === geteuid() || (inUserNamespace() && uid === overflowIds().uid);
}

function strangersLink(link: string, uid: number): VeneerError {
  return new VeneerError("MOUNT_POINT", `${quote(link)} is a symbolic link that uid ${uid} can change`, {
    hint: "it can lead anywhere: name the directory itself",
  });
}

function workingDirectory(): string {
  using here = openDirectory(".");
  return readlink(here.path) as string;
}
