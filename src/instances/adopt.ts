/** Adopts an overlay that another program made: copies its upper to a new instance, on a base equal to its lowers. */

import { VeneerError, withContext } from "../errors.ts";
import { compareListings } from "../layers/compare-listings.ts";
import { listTree } from "../layers/listing.ts";
import { mountOverlay } from "../overlay/mount.ts";
import { walk } from "../overlay/walk.ts";
import type { Progress } from "../process/progress.ts";
import { lockBase, readVersion } from "../store/bases.ts";
import { publish } from "../store/create-instance.ts";
import { type Instance, newDefinition, readInstance } from "../store/instances.ts";
import { syncStore } from "../store/layers.ts";
import { isUpperInUse } from "../store/mounts/in-use.ts";
import { openLayers } from "../store/open-layers.ts";
import { makeStore, type Store } from "../store/paths.ts";
import { makeStaging } from "../store/staging.ts";
import { createFile, type Fd, mkdirat, openDirectory } from "../sys/fd.ts";
import { openAll } from "../sys/files/open-all.ts";
import { AT_FDCWD } from "../sys/flags.ts";
import { fstat, listxattr } from "../sys/stat.ts";
import type { BaseRef } from "../text/names.ts";
import { displayName, formatBaseRef } from "../text/names.ts";
import { quote } from "../text/quote.ts";
import { copyOverlay } from "../trees/copy-tree.ts";

export interface ForeignOverlay {
  /** names the user of the overlay in messages */
  readonly who: string;
  /** top layer first */
  readonly lowers: readonly string[];
  readonly upper: string;
}

export interface AdoptOptions {
  readonly base: BaseRef;
  readonly id: string;
  /** adopt although the base differs from the lowers on which the upper was written */
  readonly force: boolean;
}

/**
 * Checks that the upper can be used on the base; changes nothing. Throws EXISTS when the instance exists, RUNNING while
 * an overlay uses the upper, and NOT_ADOPTABLE when the base differs from the lowers or the upper needs mount options
 * that veneer does not set.
 */
export function checkAdoptable(store: Store, foreign: ForeignOverlay, options: AdoptOptions): void {
  const { who, upper } = foreign;
  if (readInstance(store, options.id)) {
    throw new VeneerError("EXISTS", `instance ${options.id} exists already`, {
      hint: "name another with --instance ID",
    });
  }
  refuseRunning(foreign);
  withContext(`the changes of ${who}`, () => refuseForeignXattrs(upper));
  using _lock = lockBase(store, options.base);
  if (!options.force) refuseOtherLower(store, foreign, options.base);
}

/**
 * Copies the upper to a new instance, with reflinks where the file system supports them; does not change the original.
 * The instance appears complete or not at all, and is durable on return. Throws like {@link checkAdoptable}.
 */
export async function adoptUpper(
  store: Store,
  foreign: ForeignOverlay,
  options: AdoptOptions,
  progress: Progress,
): Promise<Instance> {
  progress.step("comparing");
  checkAdoptable(store, foreign, options);
  makeStore(store);
  using _lock = lockBase(store, options.base);
  const base = readVersion(store, options.base);
  using staging = makeStaging(store);
  mkdirat(AT_FDCWD, `${staging.path}/1`, 0o700);
  progress.step("copying");
  const target = `${staging.path}/1/upper`;
  await copyOverlay(foreign.upper, target, "layer");
  mkdirat(AT_FDCWD, `${staging.path}/1/work`, 0o700);
  // no opaque and no masked directories, so that the merged view stays what it was
  const instance = newDefinition(base, new Date().toISOString(), { opaque: [], mask: [] });
  createFile(`${staging.path}/instance.json`, `${JSON.stringify(instance)}\n`, { sync: true });
  progress.step("syncing");
  syncStore(store);
  refuseRunning(foreign);
  publish(store, staging.path, options.id);
  return instance;
}

/** Throws RUNNING while any overlay uses the upper. */
export function refuseRunning({ who, upper }: ForeignOverlay): void {
  if (!isUpperInUse(upper)) return;
  throw new VeneerError("RUNNING", `${who} is running: ${quote(upper)} is in use`, { hint: "stop it first" });
}

/** Attributes of overlayfs that change what an entry shows, and that veneer's mounts do not follow. */
const NEEDED = new Map([
  ["redirect", "a directory that was renamed (redirect_dir=on)"],
  ["metacopy", "a file whose content is in the lower layer (metacopy=on)"],
]);

function refuseForeignXattrs(upper: string): void {
  const check = (path: string, shown: string) => {
    for (const name of listxattr(path)) {
      const [kind, overlay, note = ""] = name.split(".", 3);
      if (overlay !== "overlay") continue;
      const why = kind === "user" ? "an overlay of a user namespace (userxattr)" : NEEDED.get(note);
      if (why === undefined) continue;
      throw new VeneerError("NOT_ADOPTABLE", `${quote(shown)} has ${name}: ${why}`, {
        hint: "copy what the running container shows to a directory, and import that as a base of its own",
      });
    }
  };
  check(upper, "/");
  walk(upper, ({ dir, name, path }) => check(`/proc/self/fd/${dir}/${name}`, `/${path}`));
}

/** The number of differences that an error lists. */
const SHOWN = 3;

function refuseOtherLower(store: Store, { who, lowers }: ForeignOverlay, ref: BaseRef): void {
  const base = readVersion(store, ref);
  using layers = openLayers(store, base);
  using own = openAll(lowers, (path) => withContext(`lower layer of ${who}`, () => openDirectory(path)));
  if (sameDirectories(layers.fds, own.fds)) return;
  using left = view(layers.fds);
  using right = view(own.fds);
  const differences = compareListings(listing(right), listing(left));
  if (differences.length === 0) return;
  const shown = differences.slice(0, SHOWN).map(({ path, what }) => `/${path} (${what.join(", ")})`);
  const more = differences.length > SHOWN ? ` and ${differences.length - SHOWN} more` : "";
  const source = lowers.length === 1 ? displayName(lowers[0] as string) : "a copy of what they show";
  throw new VeneerError(
    "NOT_ADOPTABLE",
    `${who} was written on ${lowers.map((path) => quote(path)).join(", ")}, of which ${formatBaseRef(base)} differs at ${shown.join(", ")}${more}`,
    {
      hint: `'veneer base import NAME ${source}' makes a base of it; --force puts the changes on ${formatBaseRef(base)} all the same`,
    },
  );
}

function sameDirectories(a: readonly Fd[], b: readonly Fd[]): boolean {
  const identity = (fd: Fd) => {
    const { dev, ino } = fstat(fd.number);
    return `${dev}/${ino}`;
  };
  return a.length === b.length && a.every((fd, index) => identity(fd) === identity(b[index] as Fd));
}

/** The merged layers as a detached mount; a single layer needs no overlay. */
function view(layers: readonly Fd[]): Fd {
  if (layers.length === 1) return openDirectory((layers[0] as Fd).path);
  return mountOverlay({ layers, source: "veneer", volatile: false });
}

function listing(root: Fd): string[] {
  const lines: string[] = [];
  listTree(`${root.path}/.`, (_path, line) => void lines.push(line));
  return lines;
}
