/** LXC: the configuration file of one container, or the one that new containers are created from. */

import { UsageError } from "../errors.ts";
import { readAllLines } from "../request/lxc-config.ts";
import { idMapOfLines } from "../request/lxc-idmap.ts";
import { dropHooks, dropLines, setHooks, setValue, shellWord, valuesOf } from "../request/lxc-text.ts";
import { lxcJournal } from "../store/setup-journal.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { isType, list, lstatMaybe } from "../sys/stat.ts";
import { displayName, formatBaseRef, isPlainName } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { rootOf } from "../userns/id-map.ts";
import type { EngineSetup, NewDirectory } from "./engine.ts";
import { mountRules } from "./lxc-apparmor.ts";
import { refuseHooklessUnfit, refuseUnfit } from "./lxc-checks.ts";
import {
  containerConfig,
  containerDirectory,
  type LxcContainer,
  lxcPath,
  startLine,
} from "./lxc-container.ts";
import { type UpperRoot, wordsOf } from "./upper-root.ts";

/** Quotes a word for a hook. Throws UsageError for a line break, which would end the line of the configuration. */
function lineWord(word: string): string {
  if (word.includes("\n")) throw new UsageError(`${quote(word)} cannot stand in a configuration of LXC`);
  return shellWord(word);
}

/** The command of a hook. `globals` are options before the command, such as `--root DIR`. */
export function hookCommand(
  bin: string,
  globals: readonly string[],
  options: readonly string[] = [],
): string {
  return [`${bin}/veneer`, ...globals, "hook", "lxc", ...options].map(lineWord).join(" ");
}

/**
 * The hooks for containers created from now on; `lxc.environment` of a container says whether it gets a base.
 * lxc-create copies the lines, so a container keeps them whatever happens to this file.
 */
export function lxcDefaults(globals: readonly string[]): EngineSetup {
  return {
    name: "lxc",
    changes: ({ etc, bin }) => [
      {
        path: `${etc}/lxc/default.conf`,
        add: (text = "") => {
          const hook = hookCommand(bin, globals);
          return setHooks(text, hook, hook, idMapOfLines(valuesOf(text, "idmap")) !== undefined);
        },
        remove: (text) => dropHooks(text) || undefined,
      },
      ...mountRules(etc, lxcPath(etc)),
    ],
    restart: "nothing to restart: it applies to containers that lxc-create makes from now on",
    use: "lxc.environment = VENEER_BASE=NAME in a container's configuration; for an existing container, 'veneer setup lxc NAME --base BASE'",
  };
}

/**
 * The hooks and the root of one container. `line` is a root that LXC mounts itself, without hooks. `replaces` decides
 * whether an overlay that the container has now may be replaced. Throws when the container cannot have a base.
 */
export function lxcContainer(
  container: LxcContainer,
  root: UpperRoot | { readonly line: string },
  globals: readonly string[],
  etc: string,
  replaces: (overlay: string) => boolean,
): EngineSetup {
  const directory = containerDirectory(container);
  const path = containerConfig(container);
  const exists = lstatMaybe(path) !== undefined;
  const lines = exists ? readAllLines(path) : [];
  const all = exists ? lines : defaultFiles(etc).flatMap(readAllLines);
  const map = idMapOfLines(all.filter(({ key }) => key === "idmap").map(({ value }) => value));
  // lxc-create makes the container's root the owner of its directory
  const owner = map && rootOf(map);
  refuseUnfit(container, lines, replaces);
  if ("line" in root) refuseHooklessUnfit(container, all);
  const place = placeOf(directory, exists, lines);
  const line = "line" in root ? root.line : place && `dir:${place}`;
  const made: NewDirectory[] = exists ? [] : [{ path: directory, mode: 0o770, ...(owner && { owner }) }];
  if (!("line" in root) && place !== undefined) made.push({ path: place, mode: 0o755 });
  return {
    name: `container ${displayName(container.name)}`,
    journal: journalOf(container),
    directories: made,
    changes: ({ bin }) => [
      {
        path,
        mode: 0o640,
        add(text) {
          let next = text ?? freshConfig(container, etc, map !== undefined);
          if (line !== undefined) next = setValue(next, "rootfs.path", line);
          if ("line" in root) return dropHooks(next);
          if (!isPlainName(container.name)) next = setValue(next, "hook.version", "1");
          const options =
            "base" in root
              ? ["--base", formatBaseRef(root.base), ...wordsOf(root.options)]
              : ["--container", container.name, "--instance", root.instance];
          const [first, other] = [hookCommand(bin, globals, options), hookCommand(bin, globals)];
          return setHooks(next, first, other, map !== undefined, "instance" in root);
        },
        remove: (text, before) => withoutOurs(text, before, directory),
      },
    ],
    restart: "nothing to restart: it applies from the container's next start",
    use: startLine(container),
  };
}

const journalOf = ({ name, path }: LxcContainer) => lxcJournal(name, path);

/** One container as an engine for `unsetup`, which does not need to know the root. */
export function lxcContainerRemoval(container: LxcContainer): EngineSetup {
  const directory = containerDirectory(container);
  return {
    name: `container ${displayName(container.name)}`,
    journal: journalOf(container),
    directories: [
      { path: directory, mode: 0 },
      { path: `${directory}/rootfs`, mode: 0 },
      { path: `${directory}/${OWN}`, mode: 0, ours: true },
    ],
    changes: () => [
      {
        path: containerConfig(container),
        add: (text = "") => text,
        remove: (text, before) => withoutOurs(text, before, directory),
      },
    ],
    restart: "nothing to restart: it applies from the container's next start",
    use: "",
  };
}

/** Removes what `setup` wrote, and restores the former root if it is known. */
function withoutOurs(text: string, before: string | null | undefined, directory: string): string {
  let next = dropHooks(text);
  const root = valuesOf(next, "rootfs.path").at(-1);
  const old = valuesOf(before ?? "", "rootfs.path").at(-1);
  if (
    root === `dir:${directory}/${OWN}` ||
    /:\/.*\/instances\/[^/:]+\/lxc\/[^/:]+\/upper$/.test(root ?? "")
  ) {
    next =
      old === undefined
        ? dropLines(next, "rootfs.path", (value) => value === root)
        : setValue(next, "rootfs.path", old);
  }
  return next;
}

/** Name of the directory for the root when the container's own rootfs has files in it. */
const OWN = "veneer";

/** The directory to set `lxc.rootfs.path` to; undefined when it is set to an empty directory already. */
function placeOf(
  directory: string,
  exists: boolean,
  lines: readonly { key: string; value: string }[],
): string | undefined {
  if (!exists) return `${directory}/rootfs`;
  const now = lines.findLast(({ key }) => key === "rootfs.path")?.value ?? "";
  const path = now.replace(/^dir:/, "");
  if (path === `${directory}/${OWN}`) return undefined;
  if (path.startsWith("/") && isEmptyDirectory(path)) return undefined;
  return `${directory}/${OWN}`;
}

function isEmptyDirectory(path: string): boolean {
  return isType(lstatMaybe(path), S_IFDIR) && list(path).length === 0;
}

/** The files, of LXC's packages and of the administrator, from which lxc-create creates a container. */
function defaultFiles(etc: string, mapped = false): string[] {
  const packaged = mapped ? ["common.conf", "userns.conf"] : ["common.conf"];
  const files = [...packaged.map((name) => `/usr/share/lxc/config/${name}`), `${etc}/lxc/default.conf`];
  return files.filter((path) => lstatMaybe(path) !== undefined);
}

/** The configuration with which lxc-create starts. */
function freshConfig({ name }: LxcContainer, etc: string, mapped: boolean): string {
  const includes = defaultFiles(etc, mapped);
  return [...includes.map((path) => `lxc.include = ${path}`), `lxc.uts.name = ${name}`, ""].join("\n");
}
