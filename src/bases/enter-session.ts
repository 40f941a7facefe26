/**
 * Prepares the root for a command that edits a base. Runs in the command's mount and pid namespaces, before the
 * command; afterwards every process there has the session as its root.
 */

import type { Volume } from "../containers/volume.ts";
import { VeneerError, withContext } from "../errors.ts";
import { mostLayers } from "../overlay/layer-form.ts";
import { makeUpper } from "../overlay/make-upper.ts";
import { lookup, rootFact } from "../overlay/merged-lookup.ts";
import { openMountPoint } from "../start/open-mount-point.ts";
import { readVersion } from "../store/bases.ts";
import { openLayers } from "../store/open-layers.ts";
import { paths, type Store } from "../store/paths.ts";
import { readSession } from "../store/sessions.ts";
import {
  type Fd,
  fchmodat,
  mkdirat,
  mkdirs,
  mknodat,
  openat,
  openatMaybe,
  openDirectory,
  symlink,
} from "../sys/fd.ts";
import {
  AT_FDCWD,
  MNT_DETACH,
  MOUNT_ATTR_RDONLY,
  O_CREAT,
  O_EXCL,
  O_PATH,
  O_WRONLY,
  S_IFCHR,
  S_IFDIR,
} from "../sys/flags.ts";
import {
  attach,
  cloneTree,
  createMount,
  fsopen,
  makeTmpfs,
  setMountAttributes,
  setOption,
  umount2,
} from "../sys/mount.ts";
import { chdir, fchdir, pivotRoot } from "../sys/namespace.ts";
import { isType, stat } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { quote } from "../text/quote.ts";
import { hasTtyGroup, TTY_GROUP } from "../userns/tty-group.ts";
import { mountSession } from "./edit-session.ts";
import { planMissingMountPoints } from "./missing-mount-points.ts";

const DIRECTORIES = ["/proc", "/sys", "/dev"];
const RESOLV_CONF = "/etc/resolv.conf";

/**
 * Mounts the editing session of a base, with /proc, /sys, its own /dev and the host's resolv.conf, and makes it the
 * root of this mount namespace, which must belong to the caller alone. Throws NO_SESSION when the base has no session.
 */
export function enterSession(store: Store, name: string): void {
  const session = readSession(store, name);
  if (!session) throw new VeneerError("NO_SESSION", `base ${name} has no editing session`);
  const base = readVersion(store, { name, version: session.version });
  const target = paths.editPoint(store, name);
  mkdirs(target, 0o700);
  using layers = openLayers(store, base);
  using hostResolvConf = openatMaybe(AT_FDCWD, RESOLV_CONF, O_PATH);
  using shown = openVolumes(session.volumes ?? []);
  const find = (path: string) => lookup(layers.fds, path);
  const points = planMissingMountPoints(
    [...DIRECTORIES, ...shown.of("directory")].map(find),
    [...(hostResolvConf ? [RESOLV_CONF] : []), ...shown.of("file")].map(find),
  );
  using tmpfs = makeTmpfs({ mode: "0700" });
  // before Linux 6.15 overlayfs refuses layers on a detached mount; this one goes away with the old root
  attachAt(tmpfs, target);
  makeUpper(tmpfs, rootFact(layers.fds), points.entries);
  using more = openDirectory("upper", tmpfs.number);
  for (const path of points.files) {
    openat(more.number, path, O_WRONLY | O_CREAT | O_EXCL, 0o644)[Symbol.dispose]();
  }
  const missing = points.entries.length + points.files.length > 0;
  // when the overlay has no room for another layer, missing mount points are created in the session itself
  const used = missing && layers.fds.length < mostLayers();
  using root = mountSession(store, name, session, used ? [more] : []);
  attachAt(root, target);
  using proc = createMount(fsopen("proc"), "proc");
  putOn(root, proc, "/proc", "directory");
  // mounting a new sysfs needs CAP_SYS_ADMIN over the network namespace, which is the host's (sysfs(5))
  using sys = inUserNamespace() ? cloneTree(AT_FDCWD, "/sys") : createMount(fsopen("sysfs"), "sysfs");
  putOn(root, sys, "/sys", "directory");
  using devices = makeDevices();
  putOn(root, devices, "/dev", "directory");
  if (inUserNamespace()) bindDevices(devices);
  addDeviceMounts(devices);
  if (hostResolvConf) {
    using file = cloneTree(hostResolvConf.number, "", false);
    // the command must not change the host's file
    setMountAttributes(file, { set: MOUNT_ATTR_RDONLY }, "/etc/resolv.conf");
    putOn(root, file, RESOLV_CONF, "file");
  }
  shown.attachTo(root);
  fchdir(root.number, target);
  pivotRoot(".", ".");
  umount2(".", MNT_DETACH);
  chdir("/");
}

function attachAt(mounted: Fd, path: string): void {
  using place = openDirectory(path);
  attach(mounted, place, path);
}

/**
 * Opens the host paths that the command sees as volumes, before anything is mounted. They never become part of a layer.
 */
function openVolumes(volumes: readonly Volume[]) {
  const stack = new DisposableStack();
  try {
    const all = volumes.map(({ source, destination, readonly }) =>
      withContext(`volume ${quote(source)}`, () => {
        const isDirectory = isType(stat(source), S_IFDIR);
        const tree = stack.use(cloneTree(AT_FDCWD, source, isDirectory));
        if (readonly) setMountAttributes(tree, { set: MOUNT_ATTR_RDONLY, recursive: isDirectory }, source);
        return { tree, destination, kind: isDirectory ? ("directory" as const) : ("file" as const) };
      }),
    );
    return {
      of: (kind: "directory" | "file") =>
        all.filter((one) => one.kind === kind).map(({ destination }) => destination),
      attachTo(root: Fd) {
        for (const { tree, destination, kind } of all) putOn(root, tree, destination, kind);
      },
      [Symbol.dispose]: () => stack.dispose(),
    };
  } catch (error) {
    stack.dispose();
    throw error;
  }
}

function putOn(root: Fd, mounted: Fd, path: string, kind: "directory" | "file"): void {
  using point = openMountPoint(root, path, kind, kind === "directory");
  attach(mounted, point, path);
}

/** Name, major, minor: the devices that the Linux Standard Base and the OCI runtime specification require. */
const DEVICES = [
  ["null", 1, 3],
  ["zero", 1, 5],
  ["full", 1, 7],
  ["random", 1, 8],
  ["urandom", 1, 9],
  ["tty", 5, 0],
] as const;

const LINKS = [
  ["fd", "/proc/self/fd"],
  ["stdin", "fd/0"],
  ["stdout", "fd/1"],
  ["stderr", "fd/2"],
  ["ptmx", "pts/ptmx"],
] as const;

function makeDevices(): Fd {
  const devices = makeTmpfs({ mode: "0755" });
  // only root can create device files: without root, the host's devices are bind-mounted later
  for (const [name, major, minor] of inUserNamespace() ? [] : DEVICES) {
    mknodat(devices.number, name, S_IFCHR | 0o666, (major << 8) | minor);
    fchmodat(devices.number, name, 0o666);
  }
  for (const [name, to] of LINKS) symlink(to, name, devices.number);
  for (const name of ["pts", "shm"]) mkdirat(devices.number, name, 0o755);
  return devices;
}

/** Bind-mounts the host's devices on empty files. */
function bindDevices(devices: Fd): void {
  for (const [name] of DEVICES) {
    using device = cloneTree(AT_FDCWD, `/dev/${name}`, false);
    openat(devices.number, name, O_WRONLY | O_CREAT | O_EXCL, 0o666)[Symbol.dispose]();
    using point = openat(devices.number, name, O_PATH);
    attach(device, point, `/dev/${name}`);
  }
}

/**
 * Mounts devpts and the like. Call it after /dev is attached: before Linux 6.15 nothing can be mounted on a detached
 * tree.
 */
function addDeviceMounts(devices: Fd): void {
  using context = fsopen("devpts");
  for (const [key, value] of [
    ["ptmxmode", "0666"],
    ["mode", "0620"],
    ...(hasTtyGroup() ? ([["gid", String(TTY_GROUP)]] as const) : []),
  ] as const) {
    setOption(context, key, value);
  }
  using pts = createMount(context, "devpts");
  using ptsPoint = openDirectory("pts", devices.number);
  attach(pts, ptsPoint, "/dev/pts");
  using shm = makeTmpfs({ mode: "1777" });
  using shmPoint = openDirectory("shm", devices.number);
  attach(shm, shmPoint, "/dev/shm");
}
