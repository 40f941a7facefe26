/**
 * A machine of systemd-nspawn. A drop-in for its unit mounts an instance where machinectl(1) looks for images before
 * the machine starts, and unmounts it after the machine has stopped.
 */

import { UsageError, VeneerError } from "../errors.ts";
import type { Store } from "../store/paths.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { isType, list, lstatMaybe } from "../sys/stat.ts";
import { formatBaseRef } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { type EngineSetup, type FileChange, type NewDirectory, ownFile } from "./engine.ts";
import { notUnderstood } from "./not-understood.ts";
import { unitWords } from "./unit-words.ts";
import { type UpperRoot, wordsOf } from "./upper-root.ts";

/** Where machinectl(1) looks for images: directories with the names of the machines. */
const MACHINES = "/var/lib/machines";

/** Returns the name. Throws UsageError when systemd does not accept it for a machine (hostname_is_valid). */
export function checkMachineName(name: string): string {
  const label = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
  if (name.length <= 64 && new RegExp(`^${label}(?:\\.${label})*$`).test(name)) return name;
  throw new UsageError(
    `${quote(name)} is not a machine's name`,
    "systemd takes letters, digits, '-' and '.', at most 64",
  );
}

const machineDirectory = (name: string): string => `${MACHINES}/${name}`;

/** The id of the temporary instance that a machine without a persistent one has while it runs. */
const freshId = (name: string) => `machine.${name.toLowerCase()}`;

/**
 * The drop-in, the settings and the directory of a machine. Throws when the directory holds other files, which the
 * mount would hide.
 */
export function nspawn(store: Store, name: string, root: UpperRoot, globals: readonly string[]): EngineSetup {
  const directory = machineDirectory(name);
  if (!mountedThere(directory)) refuseFiles(name, directory);
  const fresh = "base" in root ? ["--fresh", formatBaseRef(root.base), ...wordsOf(root.options)] : [];
  const id = "base" in root ? freshId(name) : root.instance;
  return {
    ...common(name),
    directories: [
      { path: MACHINES, mode: 0o700 },
      { path: directory, mode: 0o755 },
    ],
    changes: ({ etc, bin }) => {
      const program = [`${bin}/veneer`, ...globals];
      const mount = [...program, "mount", id, directory, "--suid", "--dev", ...fresh];
      const text = `[Unit]
RequiresMountsFor=${unitWords([store.root])}

[Service]
ExecStartPre=${unitWords(mount)}
ExecStopPost=-${unitWords([...program, "umount", id, directory])}
`;
      return [ownFile(dropIn(etc, name), text), settings(etc, name)];
    },
  };
}

/**
 * A machine as an engine for `unsetup`. Throws while its root is mounted, since nothing would unmount it afterwards.
 */
export function nspawnRemoval(name: string, etc: string): EngineSetup {
  const directory = machineDirectory(name);
  if (mountedThere(directory)) {
    throw new VeneerError("IN_USE", `machine ${name} is running, or its root ${directory} is still mounted`, {
      hint: `'machinectl poweroff ${name}' first; 'veneer ls' shows what is mounted`,
    });
  }
  const directories: NewDirectory[] = [directory, dropIn(etc, name).replace(/\/[^/]*$/, "")].map((path) => ({
    path,
    mode: 0,
    ours: true,
  }));
  return {
    ...common(name),
    directories,
    changes: () => [ownFile(dropIn(etc, name), ""), settings(etc, name)],
  };
}

function common(name: string) {
  return {
    name: `machine ${name}`,
    journal: `nspawn-${name}`,
    restart: "systemctl daemon-reload",
    use: `machinectl start ${name}`,
  };
}

const dropIn = (etc: string, name: string) =>
  `${etc}/systemd/system/systemd-nspawn@${name}.service.d/veneer.conf`;

const OURS = "# of veneer: a user namespace of nspawn's choice would have every file of the base copied\n";

/**
 * Turns off user namespaces. The unit of systemd runs machines with -U, and when the root cannot be idmapped, as an
 * overlay cannot, nspawn changes the owner of every file (systemd.nspawn(5), PrivateUsersOwnership=). That would copy
 * the whole base to the upper.
 */
function settings(etc: string, name: string): FileChange {
  const path = `${etc}/systemd/nspawn/${name}.nspawn`;
  const block = `${OURS}[Exec]\nPrivateUsers=no\n`;
  return {
    path,
    add(text = "") {
      const value = [...text.matchAll(/^[ \t]*PrivateUsers[ \t]*=[ \t]*(.*?)[ \t]*$/gm)].at(-1)?.[1];
      if (value === undefined) return `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${block}`;
      if (["no", "false", "off", "0", "n", "f"].includes(value.toLowerCase())) return text;
      throw notUnderstood(
        path,
        `PrivateUsers=${value} would have nspawn copy the whole base; only 'no' goes with one`,
      );
    },
    remove: (text) => text.replace(block, "") || undefined,
  };
}

function mountedThere(directory: string): boolean {
  return parseMountinfo(readMountinfo("self") ?? "").some(({ target }) => target === directory);
}

function refuseFiles(name: string, directory: string): void {
  const found = lstatMaybe(directory);
  if (!found || (isType(found, S_IFDIR) && list(directory).length === 0)) return;
  throw new VeneerError("MOUNT_POINT", `machine ${name} has files of its own in ${directory}`, {
    hint: "the base would hide them: 'veneer base import NAME DIR' makes a base of them; or take another name",
  });
}
