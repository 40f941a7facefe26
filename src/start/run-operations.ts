/** Runs operations in order and, when one fails, undoes those before it in reverse. */
import { VeneerError, withContext } from "../errors.ts";
import type { IdmappedTrees } from "../overlay/idmapped-trees.ts";
import { makeUpper } from "../overlay/make-upper.ts";
import { mountOverlay } from "../overlay/mount.ts";
import { mountMapped } from "../overlay/mount-idmapped.ts";
import { identityOf } from "../store/mounts/identity.ts";
import type { Store } from "../store/paths.ts";
import { removeRecord, replaceRecord, type UseRecord, writeRecord } from "../store/records.ts";
import { removeTree } from "../store/trash.ts";
import type { FsIds } from "../sys/credentials.ts";
import { isErrno } from "../sys/errno.ts";
import { explainError } from "../sys/explain.ts";
import {
  createFile,
  type Fd,
  mkdirat,
  openat,
  openCanonical,
  openCanonicalMaybe,
  openDirectory,
  unlinkQuietly,
  writeAll,
} from "../sys/fd.ts";
import { AT_FDCWD, MNT_DETACH, O_NOFOLLOW, O_PATH } from "../sys/flags.ts";
import { attach, cloneTree, makeTmpfs, umountCanonicalQuietly, umountQuietly } from "../sys/mount.ts";
import { attachHere } from "../sys/mount-here.ts";
import { fstat } from "../sys/stat.ts";
import { quote } from "../text/quote.ts";
import { cover } from "./cover.ts";
import { makeMappedPoint, makeMountPoint, removeMountPoint } from "./mount-point.ts";
import type { Operation } from "./operations.ts";
import { refuseLinks } from "./refuse-links.ts";

/** What operations pass on to later ones. Its descriptors are closed at the end, when the overlay is attached. */
interface OperationState {
  layers: readonly Fd[];
  /** the idmapped layers, for an idmapped overlay */
  trees: IdmappedTrees | undefined;
  report: (error: unknown) => void;
  tmpfs?: Fd;
  /** directory of a fresh upper */
  directory?: Fd;
  overlay?: Fd;
  record?: UseRecord;
  /** host ids of the user namespace's root */
  ids?: FsIds;
}

/**
 * Runs all operations or none: on failure, undoes what was done and throws the error. `layers` are open directories,
 * top layer first; `trees` are the parts of an idmapped overlay. `report` is called for a failure after this has
 * returned, see {@link cover}. After a kill in between, `gc` cleans up what the record names.
 */
export function runOperations(
  store: Store,
  operations: readonly Operation[],
  layers: readonly Fd[],
  report: (error: unknown) => void,
  trees?: IdmappedTrees,
): void {
  const held: OperationState = { layers, trees, report };
  const undo: (() => void)[] = [];
  try {
    for (const operation of operations) {
      withContext(
        () => describe(operation),
        () => runOperation(store, operation, held, undo),
        explainError,
      );
    }
  } catch (error) {
    held.overlay?.[Symbol.dispose]();
    for (const step of undo.reverse()) quietly(step);
    throw error;
  } finally {
    held.overlay?.[Symbol.dispose]();
    held.tmpfs?.[Symbol.dispose]();
    held.directory?.[Symbol.dispose]();
  }
}

function quietly(step: () => void): void {
  try {
    step();
  } catch {
    // `gc` removes what cannot be undone here; the first error is the one to report
  }
}

/** Describes an operation, for errors and --debug. */
export function describe(operation: Operation): string {
  switch (operation.op) {
    case "record":
      return `record ${operation.record.key}`;
    case "upper":
      return `make the upper ${operation.directory}`;
    case "tmpfs-upper":
      return `make an upper in memory (${operation.bytes} bytes)`;
    case "overlay":
      return `${operation.idmapped ? "idmapped " : ""}overlay of ${operation.layers.map((layer) => quote(layer)).join(", ")}`;
    case "mount-point":
      return `make ${quote(operation.path)}`;
    case "attach":
      return `mount on ${quote(operation.target)}`;
    case "refuse-links":
      return "look at the root";
    case "cover":
      return `cover the root ${quote(operation.root)} of process ${operation.pid}`;
    case "bind-file":
      return `bind ${quote(operation.file)} over ${quote(operation.target)}`;
    case "print":
      return "write to stdout";
  }
}

function runOperation(store: Store, operation: Operation, held: OperationState, undo: (() => void)[]): void {
  switch (operation.op) {
    case "record":
      publishRecord(store, operation.record);
      held.record = operation.record;
      undo.push(() => removeRecord(store, operation.record));
      return;
    case "upper": {
      mkdirat(AT_FDCWD, operation.directory, 0o700);
      undo.push(() => removeTree(operation.directory));
      held.directory = openDirectory(operation.directory);
      makeUpper(held.directory, operation.root, operation.entries);
      return;
    }
    case "tmpfs-upper":
      held.tmpfs = makeTmpfs({ size: String(operation.bytes), mode: "0700" });
      makeUpper(held.tmpfs, operation.root, operation.entries);
      return;
    case "overlay": {
      if (operation.directory !== undefined) held.directory ??= openDirectory(operation.directory);
      const { directory } = held;
      const parent = (directory ?? held.tmpfs) as Fd;
      if (operation.as) held.ids = operation.as;
      const { source, volatile, attributes, image } = operation;
      const { layers, trees } = held;
      if (operation.idmapped && trees) {
        const how = { source, volatile, attributes, image };
        const { overlay, root } = mountMapped({ trees, parent, directory: operation.directory, ...how });
        held.overlay = overlay;
        held.ids = root;
      } else {
        using upper = openDirectory("upper", parent.number);
        using work = openDirectory("work", parent.number);
        const detached = directory ? [] : [parent];
        held.overlay = mountOverlay({ layers, upper, work, source, volatile, attributes, image, detached });
      }
      identify(store, held);
      return;
    }
    case "mount-point":
      undo.push(() => removeMountPoint(operation.path, operation.owner !== undefined));
      if (operation.owner) makeMappedPoint(operation.path, operation.owner);
      else makeMountPoint(operation.path);
      return;
    case "attach": {
      // canonical, and others may own a directory on the way: what it was found to be is what it must still be
      using target = operation.exact ? openCanonical(operation.target) : openDirectory(operation.target);
      (operation.here ? attachHere : attach)(held.overlay as Fd, target, operation.target);
      if (operation.exact) requireThere(held.overlay as Fd, operation.target);
      undo.push(() =>
        (operation.exact ? umountCanonicalQuietly : umountQuietly)(operation.target, MNT_DETACH),
      );
      return;
    }
    case "refuse-links":
      refuseLinks(held.overlay as Fd, operation);
      return;
    case "cover":
      cover(held.overlay as Fd, operation, held.ids, held.report);
      return;
    case "bind-file":
      undo.push(() => unlinkQuietly(operation.file));
      createFile(operation.file, operation.text);
      bindFile(operation);
      return;
    case "print":
      writeAll(1, new TextEncoder().encode(operation.text), "stdout");
      return;
  }
}

/** Takes the mount away, and throws, where its place was renamed after it was opened: the record would not lead to it. */
function requireThere(overlay: Fd, path: string): void {
  using now = openCanonicalMaybe(path);
  if (now && fstat(now.number).mountId === fstat(overlay.number).mountId) return;
  umountQuietly(overlay.path, MNT_DETACH);
  throw new VeneerError("MOUNT_POINT", `${quote(path)} was renamed meanwhile`, { hint: "try again" });
}

function bindFile({ file, target, exchange }: Operation & { op: "bind-file" }): void {
  using written = openat(AT_FDCWD, file, O_PATH | O_NOFOLLOW);
  using before = openat(AT_FDCWD, target, O_PATH);
  using directory = openDirectory(parent(target));
  using original = exchange ? cloneTree(before.number, "", false) : undefined;
  using copy = cloneTree(written.number, "", false);
  attachHere(copy, before, target, directory);
  if (!original) return;
  using place = openDirectory(parent(file));
  attachHere(original, written, file, place);
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** Adds the overlay's identity to the record, before anyone else can use the overlay. */
function identify(store: Store, held: OperationState): void {
  if (!held.record || !held.overlay) return;
  held.record = { ...held.record, overlay: identityOf(held.overlay) };
  replaceRecord(store, held.record);
}

function publishRecord(store: Store, record: UseRecord): void {
  try {
    writeRecord(store, record);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    const what =
      record.instance === undefined ? `container ${record.container}` : `instance ${record.instance}`;
    throw new VeneerError("BUSY", `${what} is being started by another veneer process`, {
      hint: "'veneer ps' shows what runs; try again in a moment",
    });
  }
}
