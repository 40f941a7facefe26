/** All that makes up a tree, as text: two trees with the same manifest are the same. */
import { must } from "./host.ts";

const SCRIPT = `
  find . -printf '%P|%y|%m|%U:%G|%T@|%l' \\( -type d -printf '\\n' -o -printf '|%s|%n\\n' \\) | sort
  find . \\( -type b -o -type c \\) -exec stat -c '%n %t:%T' {} + | sort
  find . ! -type d -links +1 -printf '%P\\t%i\\n' | sort | awk -F '\\t' '!($2 in first) { first[$2] = $1 } { print $1 " is " first[$2] }'
  find . -type f -size -1048576k -exec sha256sum {} + | sort
  find . -exec getfattr -h -d -m - -e hex {} + | sort`;

/**
 * Path, type, mode, owner, time to the nanosecond, target, size and number of links of each entry; numbers of
 * devices; which names are one file; digests of files below 1 GiB; extended attributes, ACLs and capabilities
 * among them.
 */
export function treeManifest(dir: string): Promise<string> {
  return must("sh", ["-c", SCRIPT], {
    cwd: dir,
    env: { LC_ALL: "C", PATH: "/usr/bin:/bin:/usr/sbin:/sbin" },
  });
}
