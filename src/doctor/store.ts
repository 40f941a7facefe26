/** Checks whether the file system of the store can hold uppers, by mounting a tiny overlay that nobody else sees. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeError } from "../errors.ts";
import { idmapTrees } from "../overlay/idmapped-trees.ts";
import { mountOverlay } from "../overlay/mount.ts";
import { mountMapped } from "../overlay/mount-idmapped.ts";
import { overlayXattr } from "../overlay/xattrs.ts";
import type { Store } from "../store/paths.ts";
import { errnoName } from "../sys/errno.ts";
import { openat, openDirectory } from "../sys/fd.ts";
import { AT_FDCWD, O_RDONLY, O_RDWR } from "../sys/flags.ts";
import { syscall } from "../sys/libc.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { SYS } from "../sys/numbers.ts";
import { geteuid } from "../sys/process.ts";
import { getxattr, setxattr, stat } from "../sys/stat.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { makeNamespace } from "../userns/create.ts";
import { type Check, check, type Finding, not, ok } from "./check.ts";

const FICLONE = 0x40049409;

export function storeChecks(store: Store): Check[] {
  const place = nearest(store.root);
  const checks = [
    check("store", "directory", true, () => directory(store.root, place)),
    check("store", "file system", true, () => fileSystem(place)),
  ];
  if (geteuid() !== 0) return checks;
  let trial: string;
  try {
    trial = mkdtempSync(join(place, ".veneer-doctor-"));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const hint = "put the store where root can write";
    return [...checks, { area: "store", name: "upper", required: true, ...not("missing", why, hint) }];
  }
  try {
    checks.push(
      check("store", "upper", true, () => upper(trial)),
      check("store", "extended attributes", true, () => attributes(trial)),
      // only root of the machine may create idmapped mounts
      ...(inUserNamespace() ? [] : [check("store", "idmapped layers", false, () => idmapped(trial))]),
      check("store", "reflink", false, () => reflink(trial)),
    );
  } finally {
    rmSync(trial, { recursive: true, force: true });
  }
  return checks;
}

/** The directory itself, or its nearest ancestor that exists. */
function nearest(path: string): string {
  return existsSync(path) ? path : nearest(dirname(path));
}

function directory(root: string, place: string): Finding {
  if (place !== root) return ok(`${root} will be made in ${place}`);
  const { uid, mode } = statSync(root);
  if (uid === geteuid() && (mode & 0o077) === 0) return ok(root);
  return not(
    "limited",
    `${root} is open to others (mode ${(mode & 0o7777).toString(8)}, uid ${uid})`,
    `chmod 700 ${root}: other users could run setuid files of the layers`,
  );
}

/** File systems that overlayfs always refuses as an upper, whatever their options. */
const REFUSED = new Set(["overlay", "nfs", "nfs4", "vfat", "exfat", "squashfs", "erofs", "iso9660"]);

function fileSystem(place: string): Finding {
  const id = Number(stat(place).mountId);
  const mount = parseMountinfo(readMountinfo("self") ?? "").find((entry) => entry.id === id);
  const type = mount?.type ?? "unknown";
  if (REFUSED.has(type)) {
    return not(
      "missing",
      `${type} on ${place}`,
      'put the store on ext4, xfs or btrfs: --root, or "root" in the configuration',
    );
  }
  if (type === "tmpfs") return not("limited", `tmpfs on ${place}`, "the store is lost at a reboot");
  return ok(`${type} on ${mount?.target ?? place}`);
}

/** Mounts a complete overlay with a volatile upper. The kernel itself checks that the file system reports d_type. */
function upper(trial: string): Finding {
  for (const name of ["lower", "upper", "work"]) mkdirSync(join(trial, name));
  using lower = openDirectory(join(trial, "lower"));
  using upperdir = openDirectory(join(trial, "upper"));
  using work = openDirectory(join(trial, "work"));
  mountOverlay({ layers: [lower], upper: upperdir, work, source: "veneer:doctor", volatile: true })[
    Symbol.dispose
  ]();
  return ok("overlay can be mounted, and there is d_type");
}

/** Mounts a complete overlay for a user namespace, with an idmapped layer and an idmapped upper. */
function idmapped(trial: string): Finding {
  const ids = [{ containerID: 0, hostID: 100000, size: 65536 }];
  using userns = makeNamespace({ uids: ids, gids: ids });
  for (const name of ["below", "mapped", "mapped/upper", "mapped/work"]) mkdirSync(join(trial, name));
  using layer = openDirectory(join(trial, "below"));
  using parent = openDirectory(join(trial, "mapped"));
  const source = "veneer:doctor";
  const trees = idmapTrees({ layers: [layer], names: ["the store"], userns });
  if (trees.kind === "refused") {
    return not("limited", describeError(trees.why).message, `${trees.why.hint}; or --shifted-copy`);
  }
  using _trees = trees;
  const directory = join(trial, "mapped");
  using _overlay = mountMapped({ trees, parent, directory, source, volatile: true }).overlay;
  return ok("one base for containers with any user namespace");
}

function attributes(trial: string): Finding {
  const name = overlayXattr("opaque");
  setxattr(trial, name, new Uint8Array([0x79]));
  return getxattr(trial, name)?.[0] === 0x79 ? ok(name) : not("missing", `${name} is not kept`);
}

/** Tries to clone a file (ioctl_ficlone(2)). */
function reflink(trial: string): Finding {
  writeFileSync(join(trial, "a"), "x".repeat(4096));
  writeFileSync(join(trial, "b"), "");
  using from = openat(AT_FDCWD, join(trial, "a"), O_RDONLY);
  using to = openat(AT_FDCWD, join(trial, "b"), O_RDWR);
  const result = syscall(SYS.ioctl, to.number, FICLONE, from.number);
  if (result === 0) return ok("copies share their blocks");
  return not(
    "limited",
    `no (${errnoName(-result)})`,
    "imports and clones copy; xfs and btrfs share blocks instead",
  );
}
