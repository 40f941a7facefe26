/** Where LXC's AppArmor profiles let hooks mount: below /var/lib/lxc, and where `setup` adds a rule. */
import { lstatMaybe } from "../sys/stat.ts";
import type { FileChange } from "./engine.ts";

const MARK = "# added by 'veneer setup lxc'";

/**
 * Lets hooks mount roots in another directory of containers. Nothing to change where LXC's profiles are not installed.
 */
export function mountRules(etc: string, directory: string): FileChange[] {
  const path = `${etc}/apparmor.d/abstractions/lxc/start-container`;
  if (`${directory}/`.startsWith("/var/lib/lxc/") || !lstatMaybe(path)) return [];
  const rule = `  mount -> ${quoted(directory)}, ${MARK}\n`;
  const without = (text: string) =>
    text
      .split(/(?<=\n)/)
      .filter((line) => !line.includes(MARK))
      .join("");
  return [
    {
      path,
      add: (text = "") =>
        text.includes(rule) ? text : `${without(text).replace(/(?<=[^\n])$/, "\n")}${rule}`,
      remove: without,
      reload: `apparmor_parser -r ${etc}/apparmor.d/usr.bin.lxc-start`,
    },
  ];
}

/** A pattern for the directory and everything below it (apparmor.d(5)). */
function quoted(directory: string): string {
  return `"${directory.replace(/[\\"*?[\]{}^,]/g, "\\$&")}/{**,}"`;
}
