/** LXC: a container's configuration file, or what every new container's is made from. */

import { UsageError, VeneerError } from "../errors.ts";
import type { ForeignOverlay } from "../instances/adopt.ts";
import { readAllLines } from "../request/lxc-config.ts";
import { idMapOfLines } from "../request/lxc-idmap.ts";
import {
  dropHooks,
  dropLines,
  isOurHook,
  setHooks,
  setValue,
  shellWord,
  valuesOf,
} from "../request/lxc-text.ts";
import { lxcJournal } from "../store/setup-journal.ts";
import { readText } from "../sys/fd.ts";
import { S_IFDIR } from "../sys/flags.ts";
import { isType, list, lstatMaybe } from "../sys/stat.ts";
import { type BaseRef, displayName, formatBaseRef, isPlainName } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { rootOf } from "../userns/id-map.ts";
import type { EngineSetup, NewDirectory } from "./engine.ts";
import { mountRules } from "./lxc-apparmor.ts";

export interface LxcContainer {
  readonly name: string;
  /** directory of the containers, absolute */
  readonly path: string;
}

/**
 * What the container's root shall be: fresh on a base at each start, or an instance, whose base the hook is not
 * told: a cutover or rebase changes it.
 */
export type LxcRoot =
  | { readonly base: BaseRef; readonly options?: UpperOptions }
  | {
      readonly instance: string;
      /** it is not there yet: what it will stand on */
      readonly missing?: BaseRef;
      readonly options?: UpperOptions;
    };

/** What a fresh upper shall be; absent: as configured. */
export interface UpperOptions {
  readonly opaque?: readonly string[];
  readonly mask?: readonly string[];
  /** bytes */
  readonly tmpfs?: number;
}

/** As options of the hook. */
function wordsOf({ opaque, mask = [], tmpfs }: UpperOptions = {}): string[] {
  return [
    ...(opaque?.length === 0 ? ["--opaque", "none"] : (opaque ?? []).flatMap((path) => ["--opaque", path])),
    ...mask.flatMap((path) => ["--mask", path]),
    ...(tmpfs === undefined ? [] : ["--tmpfs", String(tmpfs)]),
  ];
}

/** A line of the configuration ends a word. */
function lineWord(word: string): string {
  if (word.includes("\n")) throw new UsageError(`${quote(word)} cannot stand in a configuration of LXC`);
  return shellWord(word);
}

/** `globals` are options that stand before the command: `--root DIR`. */
function hookCommand(bin: string, globals: readonly string[], options: readonly string[] = []): string {
  return [`${bin}/veneer`, ...globals, "hook", "lxc", ...options].map(lineWord).join(" ");
}

/**
 * The hooks for containers that are made from now on; each says in `lxc.environment` whether it wants a base.
 * lxc-create copies the lines: a container keeps them whatever becomes of the file.
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
    restart: "nothing to restart: it counts for containers that lxc-create makes from now on",
    use: "lxc.environment = VENEER_BASE=NAME in a container's configuration; for one that is there already, 'veneer setup lxc NAME --base BASE'",
  };
}

/** Where LXC keeps containers (lxc.system.conf(5)). */
export function lxcPath(etc: string): string {
  const text = readText(`${etc}/lxc/lxc.conf`) ?? "";
  return valuesOf(text, "lxcpath").at(-1) || "/var/lib/lxc";
}

/** Throws UsageError for a name that LXC would not take. */
export function checkLxcName(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what cannot stand in a line or a path
  if (name !== "" && name !== "." && name !== ".." && !/[/\u0000-\u001f]/.test(name)) return name;
  throw new UsageError(`${quote(name)} is not a container's name`);
}

const containerDirectory = ({ path, name }: LxcContainer): string => `${path}/${name}`;
export const containerConfig = (container: LxcContainer): string => `${containerDirectory(container)}/config`;

/**
 * The hooks and the root of one container; `line`: without hooks, what LXC shall mount itself. `replaces` says of
 * an overlay that the container has whether it may go. Throws when the container cannot have a base.
 */
export function lxcContainer(
  container: LxcContainer,
  root: LxcRoot | { readonly line: string },
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
  // lxc-create has it own the container's directory
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
    restart: "nothing to restart: it counts from the container's next start",
    use: startLine(container),
  };
}

/** What `lxc.rootfs.path` of a container says; undefined where nothing does. */
export function lxcRootOf(container: LxcContainer): string | undefined {
  const path = containerConfig(container);
  if (!lstatMaybe(path)) return undefined;
  return readAllLines(path).findLast(({ key }) => key === "rootfs.path")?.value;
}

const journalOf = ({ name, path }: LxcContainer) => lxcJournal(name, path);

export function startLine({ name, path }: LxcContainer): string {
  return `lxc-start${path === "/var/lib/lxc" ? "" : ` -P ${shellWord(path)}`} -n ${shellWord(name)}`;
}

/** The engine for `unsetup`, which needs to know nothing of the root. */
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
    restart: "nothing to restart: it counts from the container's next start",
    use: "",
  };
}

/** What `setup` wrote is taken out; the root becomes what it was, where that is known. */
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

/** Name of the directory for the root in a container whose own has files in it. */
const OWN = "veneer";

/** The directory that `lxc.rootfs.path` must be set to; undefined where an empty one is set already. */
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

function refuseUnfit(
  container: LxcContainer,
  lines: readonly { key: string; value: string; file: string }[],
  replaces: (overlay: string) => boolean,
): void {
  const name = displayName(container.name);
  const refuse = (what: string, hint: string) =>
    new VeneerError("BAD_ENGINE_CONFIG", `container ${name} ${what}`, { hint });
  const last = (key: string) => lines.findLast((line) => line.key === key);
  const idmap = last("rootfs.options");
  if (idmap?.value.split(",").some((item) => item.startsWith("idmap="))) {
    throw refuse(
      `has lxc.rootfs.options = ${displayName(idmap.value)} (in ${displayName(idmap.file)})`,
      "LXC would bypass the base with it: remove idmap= from lxc.rootfs.options",
    );
  }
  const root = last("rootfs.path")?.value ?? "";
  if (/^overlay(fs)?:/.test(root) && !replaces(root)) {
    throw refuse(
      `has an overlay of LXC's own: ${quote(root)}`,
      `'veneer adopt ${name} --base BASE' takes its changes along`,
    );
  }
  if (lines.some(({ key, value }) => key === "environment" && /^VENEER_(BASE|INSTANCE)=/.test(value))) {
    throw refuse(
      "names its base in lxc.environment already",
      "it needs no set-up; or remove that line, and the include of veneer.conf",
    );
  }
  if (isPlainName(container.name) || last("hook.version")?.value === "1") return;
  // those of included files come with LXC's packages and read the environment
  const own = containerConfig(container);
  const other = lines.find(({ key, value, file }) => file === own && isForeignHook(key, value));
  if (!other) return;
  throw refuse(
    `needs lxc.hook.version = 1 for its name, and has another hook, lxc.${other.key}`,
    "set lxc.hook.version = 1 yourself if that hook understands it",
  );
}

function refuseHooklessUnfit(
  container: LxcContainer,
  lines: readonly { key: string; value: string }[],
): void {
  const who = `container ${displayName(container.name)}`;
  const hint = "set it up without --hookless";
  if (lines.some(({ key, value }) => key === "idmap" && value !== "")) {
    throw new VeneerError(
      "USER_NAMESPACE",
      `${who} has a user namespace (lxc.idmap): LXC cannot mount this overlay in one`,
      {
        hint,
      },
    );
  }
  const set = ["redirect_dir", "index", "metacopy"].find(
    (name) => readText(`/sys/module/overlay/parameters/${name}`)?.trim() === "Y",
  );
  if (set === undefined) return;
  throw new VeneerError(
    "OVERLAY_DEFAULT",
    `LXC would mount ${who} with ${set}=on, the overlay module's default here: its changes could not be put on another version`,
    {
      hint: `${hint}, or write N to /sys/module/overlay/parameters/${set}`,
    },
  );
}

function isForeignHook(key: string, value: string): boolean {
  return key.startsWith("hook.") && key !== "hook.version" && value !== "" && !isOurHook(value);
}

/** Those of LXC's packages and of the administrator from which lxc-create makes a container. */
function defaultFiles(etc: string, mapped = false): string[] {
  const packaged = mapped ? ["common.conf", "userns.conf"] : ["common.conf"];
  const files = [...packaged.map((name) => `/usr/share/lxc/config/${name}`), `${etc}/lxc/default.conf`];
  return files.filter((path) => lstatMaybe(path) !== undefined);
}

/** What lxc-create would begin with. */
function freshConfig({ name }: LxcContainer, etc: string, mapped: boolean): string {
  const includes = defaultFiles(etc, mapped);
  return [...includes.map((path) => `lxc.include = ${path}`), `lxc.uts.name = ${name}`, ""].join("\n");
}

/** The overlay that LXC itself mounts for a container. Throws where its root is of another kind. */
export function readLxcOverlay(container: LxcContainer): ForeignOverlay {
  const who = `container ${displayName(container.name)}`;
  const path = containerConfig(container);
  if (!lstatMaybe(path)) {
    throw new VeneerError("NO_CONTAINER", `there is no ${who}: ${quote(path)} does not exist`, {
      hint: "'lxc-ls' lists them; --lxcpath names another directory of containers",
    });
  }
  const root = readAllLines(path).findLast(({ key }) => key === "rootfs.path")?.value ?? "";
  // as LXC reads it: the last part is the upper (storage/overlay.c)
  const parts = /^overlay(?:fs)?:(\/.*)$/.exec(root)?.[1]?.split(/:(?=\/)/) ?? [];
  const upper = parts.pop();
  if (upper !== undefined && parts.length > 0) return { who, lowers: parts, upper };
  throw new VeneerError("NO_OVERLAY", `${who} has no overlay of its own: lxc.rootfs.path is ${quote(root)}`, {
    hint: `'veneer setup lxc ${displayName(container.name)} --base BASE' gives it a base`,
  });
}
