/** Everything but what engines call is in a large program of its own, which this one executes in its place. */

import { VeneerError } from "../errors.ts";
import { errnoName } from "../sys/errno.ts";
import { execve } from "../sys/process/fork.ts";
import { LARGE_PROGRAM, ownExecutable } from "../sys/self.ts";
import { lstatMaybe } from "../sys/stat.ts";
import { decodeName } from "../text/file-names.ts";

/**
 * What the large program and what it starts (skopeo, tar, editors, runtimes) read. All else stays behind: its run time
 * takes options from a dozen variables, which no build flag turns off.
 */
const HANDED_ON = new RegExp(
  `^(?:${[
    "PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TZ|LANG|LANGUAGE|LC_[A-Z]+|EDITOR|VISUAL|PAGER",
    "TERM|COLORTERM|NO_COLOR|FORCE_COLOR|COLUMNS|LINES|XDG_[A-Z_]+|VENEER_[A-Z_]+|LXC_[A-Z_]+|LXD_DIR|INCUS_DIR",
    "(?:HTTPS?|NO|ALL|FTP)_PROXY|(?:https?|no|all|ftp)_proxy|SSL_CERT_(?:FILE|DIR)|REGISTRY_AUTH_FILE",
    "DOCKER_[A-Z_]+|CONTAINER_HOST|CONTAINERS_[A-Z_]+|CONTAINERD_[A-Z_]+|KUBECONFIG|STORAGE_[A-Z_]+|NETAVARK_[A-Z_]+",
    "DBUS_[A-Z_]+|NOTIFY_SOCKET|SUDO_[A-Z_]+|_CONTAINERS_[A-Z_]+|GNUPGHOME",
  ].join("|")})=`,
);

/** Only comes back by an exception. Arguments go on as the bytes that they are. */
export function startLargeProgram(): never {
  const path = largeProgram(ownExecutable());
  const env = host.environment().filter((variable) => HANDED_ON.test(decodeName(variable)));
  const result = execve(path, host.arguments(), env);
  throw new VeneerError("NO_PROGRAM", `cannot start ${path}: ${errnoName(-result)}`, {
    hint: "it is a part of the installation: install veneer again",
  });
}

/** Beside a program that was built or unpacked; in libexec of the prefix where it was installed. */
function largeProgram(executable: string): string {
  const directory = executable.slice(0, executable.lastIndexOf("/"));
  const beside = `${directory}/${LARGE_PROGRAM}`;
  if (!directory.endsWith("/bin") || lstatMaybe(beside)) return beside;
  return `${directory.slice(0, -"/bin".length)}/libexec/veneer/${LARGE_PROGRAM}`;
}
