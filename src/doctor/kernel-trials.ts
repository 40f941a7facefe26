/** Tries the features of kernel-features.ts by using them, in a temporary mount namespace. */
import { judgesOptions } from "../overlay/layer-form.ts";
import { errno, SysError } from "../sys/errno.ts";
import { Fd, mkdirat, openDirectory } from "../sys/fd.ts";
import { AT_EMPTY_PATH, AT_FDCWD, MOUNT_ATTR_IDMAP, O_PATH, RESOLVE_BENEATH } from "../sys/flags.ts";
import { cstring, syscall } from "../sys/libc.ts";
import {
  attach,
  attachBeneath,
  cloneTree,
  createMount,
  fsopen,
  setFdOption,
  setMountAttributes,
  setOption,
} from "../sys/mount.ts";
import { inScratchNamespace, openScratchPlace } from "../sys/namespace.ts";
import { SYS } from "../sys/numbers.ts";
import { setxattr } from "../sys/stat.ts";
import type { FeatureName } from "./kernel-features.ts";

/** What the trials work with. */
interface Ground {
  /** a tmpfs in the temporary mount namespace, with the directories `a`, `b`, `upper` and `work` */
  readonly tmpfs: Fd;
  /** for idmapped mounts; undefined when no user namespace can be created */
  readonly userns: Fd | undefined;
}

/** Whether the kernel has the feature, or why that is unknown. */
export type Verdict = boolean | string;

/**
 * Tries all features. Leaves nothing behind, and nothing is visible outside meanwhile. Throws when no mount namespace
 * can be created.
 */
export function tryFeatures(userns: Fd | undefined): Record<FeatureName, Verdict> {
  const absent = missingCalls();
  const verdicts = (ground: Ground | undefined) =>
    Object.fromEntries(
      Object.entries(TRIALS).map(([name, trial]) => [name, verdictOf(trial, ground)]),
    ) as Record<FeatureName, Verdict>;
  if (absent.length > 0) return verdicts(undefined);
  return inScratchNamespace(() => {
    using tmpfs = newTmpfs();
    using place = openScratchPlace();
    attach(tmpfs, place, "scratch namespace");
    for (const name of ["a", "b", "upper", "work"]) mkdirat(tmpfs.number, name, 0o700);
    return verdicts({ tmpfs, userns });
  });
}

function verdictOf(trial: (ground: Ground | undefined) => Verdict, ground: Ground | undefined): Verdict {
  try {
    return trial(ground);
  } catch (error) {
    if (error instanceof SysError) return false;
    throw error;
  }
}

const TRIALS: Record<FeatureName, (ground: Ground | undefined) => Verdict> = {
  "mount API": () => !missingCalls().some((name) => name !== "mount_setattr"),
  openat2: () => {
    const how = new BigUint64Array([BigInt(O_PATH), 0n, BigInt(RESOLVE_BENEATH)]);
    const result = syscall(SYS.openat2, AT_FDCWD, cstring("."), how, how.byteLength);
    if (result < 0) return false;
    new Fd(result)[Symbol.dispose]();
    return true;
  },
  mount_setattr: () => !missingCalls().includes("mount_setattr"),
  "volatile uppers": on(({ tmpfs }) =>
    withOverlay(tmpfs, (context) => {
      option(context, "lowerdir", place(tmpfs, "a"));
      option(context, "upperdir", place(tmpfs, "upper"));
      option(context, "workdir", place(tmpfs, "work"));
      return setOption(context, "volatile") === 0;
    }),
  ),
  "overlays of idmapped layers": on(({ tmpfs, userns }) => {
    if (!userns) return "no user namespace to try with";
    using mapped = cloneTree(AT_FDCWD, "/", false);
    try {
      setMountAttributes(mapped, { set: MOUNT_ATTR_IDMAP, userns }, "/");
    } catch {
      return "the root file system cannot be idmapped to try it";
    }
    using target = openDirectory("b", tmpfs.number);
    attach(mapped, target, "b");
    return withOverlay(tmpfs, (context) => {
      option(context, "lowerdir", `${mapped.path}:${place(tmpfs, "a")}`);
      return true;
    });
  }),
  "idmapped tmpfs": on(({ userns }) => {
    if (!userns) return "no user namespace to try with";
    using mapped = newTmpfs();
    setMountAttributes(mapped, { set: MOUNT_ATTR_IDMAP, userns }, "tmpfs");
    return true;
  }),
  "overlayfs judges options one by one": on(() => judgesOptions()),
  "mounts beneath others": on(({ tmpfs }) => {
    using top = newTmpfs();
    using below = newTmpfs();
    using target = openDirectory("work", tmpfs.number);
    attach(top, target, "work");
    attachBeneath(below, top, "work");
    return true;
  }),
  "tmpfs keeps attributes of users": on(({ tmpfs }) => {
    setxattr(place(tmpfs, "a"), "user.overlay.opaque", new Uint8Array([0x79]));
    return true;
  }),
  "lowerdir+": on(({ tmpfs }) => {
    using context = fsopen("overlay");
    return judgesOptions() && setOption(context, "lowerdir+", place(tmpfs, "a")) === 0;
  }),
  "layers by descriptor": on(({ tmpfs }) => {
    using context = fsopen("overlay");
    using layer = openDirectory("a", tmpfs.number);
    return setFdOption(context, "lowerdir+", layer) === 0;
  }),
  "layers that are mounted nowhere": on(({ tmpfs }) => {
    using nowhere = newTmpfs();
    return withOverlay(tmpfs, (context) => {
      option(context, "lowerdir", `${nowhere.path}:${place(tmpfs, "a")}`);
      return true;
    });
  }),
};

/** Makes a trial that needs the new mount API fail where the kernel lacks it. */
function on(trial: (ground: Ground) => Verdict): (ground: Ground | undefined) => Verdict {
  return (ground) => (ground ? trial(ground) : false);
}

/**
 * The system calls that the kernel lacks. Called with invalid descriptors, existing ones fail with EBADF, not ENOSYS.
 */
function missingCalls(): string[] {
  const empty = cstring("");
  const values = new BigUint64Array(4);
  const results: [string, number][] = [
    ["fsconfig", syscall(SYS.fsconfig, -1, 0, null, null, 0)],
    ["open_tree", syscall(SYS.open_tree, -1, empty, AT_EMPTY_PATH)],
    ["move_mount", syscall(SYS.move_mount, -1, empty, -1, empty, 0)],
    ["mount_setattr", syscall(SYS.mount_setattr, -1, empty, AT_EMPTY_PATH, values, values.byteLength)],
  ];
  return results.filter(([, result]) => result === -(errno.ENOSYS as number)).map(([name]) => name);
}

function newTmpfs(): Fd {
  using context = fsopen("tmpfs");
  option(context, "mode", "0700");
  return createMount(context, "tmpfs");
}

function place(tmpfs: Fd, name: string): string {
  return `${tmpfs.path}/${name}`;
}

function option(context: Fd, key: string, value: string): void {
  const result = setOption(context, key, value);
  if (result < 0) throw new SysError(-result, `fsconfig ${key}`);
}

/** Whether an overlay can be created with the options that `set` sets. */
function withOverlay(tmpfs: Fd, set: (context: Fd) => boolean): boolean {
  using context = fsopen("overlay");
  option(context, "source", `veneer:doctor:${tmpfs.number}`);
  if (!set(context)) return false;
  createMount(context, "overlay")[Symbol.dispose]();
  return true;
}
