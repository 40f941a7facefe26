/** What the kernel can do: tried rather than looked up, since distributions backport. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { cgroupLayout } from "../sys/cgroup.ts";
import { errno, errnoName } from "../sys/errno.ts";
import { Fd, openat, openDirectory } from "../sys/fd.ts";
import { AT_EMPTY_PATH, AT_FDCWD, O_PATH, O_RDONLY, RESOLVE_BENEATH } from "../sys/flags.ts";
import { cstring, syscall } from "../sys/libc.ts";
import { cloneTree, fsopen, setFdOption, setOption } from "../sys/mount.ts";
import { parseMountinfo, readMountinfo } from "../sys/mountinfo.ts";
import { SYS } from "../sys/numbers.ts";
import { geteuid } from "../sys/process.ts";
import { inUserNamespace } from "../sys/user-namespace.ts";
import { type Check, check, type Finding, not, ok } from "./check.ts";
import { isAtLeast, parseVersion } from "./version.ts";

const NEWER = "use a newer kernel";
const MOUNT_ATTR_IDMAP = 0x0010_0000n;

export async function kernelChecks(): Promise<Check[]> {
  const root = geteuid() === 0;
  const inside = inUserNamespace();
  const privileged = (look: () => Finding): Finding =>
    root ? look() : not("unknown", "needs root to try", "run veneer doctor as root");
  const namespace = root ? await userNamespace() : undefined;
  const checks = [
    ...(inside
      ? []
      : [
          check("system", "root", true, () =>
            root ? ok("runs as root") : not("missing", `runs as uid ${geteuid()}`, "run as root"),
          ),
        ]),
    check("kernel", "version", true, version),
    check("kernel", "overlayfs", true, () => privileged(overlay)),
    check("kernel", "mount API", true, () => privileged(mountApi)),
    check("kernel", "openat2", true, openat2),
    check("kernel", "lowerdir+", false, () => privileged(lowerdirPlus)),
    check("kernel", "volatile", false, () => privileged(() => accepts("volatile", undefined, "5.10"))),
    check("kernel", "index", false, () => privileged(() => accepts("index", "off", "4.13"))),
    // only the machine's root may idmap, and a user's doctor has looked at user namespaces already
    ...(inside
      ? []
      : [
          check("kernel", "idmapped mounts", false, () => privileged(() => idmap(namespace))),
          check("kernel", "user namespaces", false, userNamespaces),
        ]),
    check("kernel", "control groups", false, controlGroups),
  ];
  namespace?.kill("SIGKILL");
  return checks;
}

function version(): Finding {
  const text = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
  const numbers = parseVersion(text) ?? [];
  return isAtLeast(numbers, [5, 12])
    ? ok(`Linux ${text}`)
    : not("missing", `Linux ${text}`, "Linux 5.12 or later is needed");
}

function overlay(): Finding {
  fsopen("overlay")[Symbol.dispose]();
  return ok("there");
}

/** open_tree(2), move_mount(2), fsopen(2) and mount_setattr(2): bad descriptors tell EBADF from ENOSYS. */
function mountApi(): Finding {
  const empty = cstring("");
  const attributes = new BigUint64Array(4);
  const results: [string, number][] = [
    ["open_tree", syscall(SYS.open_tree, -1, empty, AT_EMPTY_PATH)],
    ["move_mount", syscall(SYS.move_mount, -1, empty, -1, empty, 0)],
    [
      "mount_setattr",
      syscall(SYS.mount_setattr, -1, empty, AT_EMPTY_PATH, attributes, attributes.byteLength),
    ],
  ];
  const absent = results.filter(([, result]) => result === -(errno.ENOSYS as number)).map(([name]) => name);
  return absent.length === 0
    ? ok("fsopen, open_tree, move_mount, mount_setattr")
    : not("missing", `no ${absent.join(", ")}`, `${NEWER}, or lift the seccomp filter that hides them`);
}

function openat2(): Finding {
  const how = new BigUint64Array([BigInt(O_PATH), 0n, BigInt(RESOLVE_BENEATH)]);
  const result = syscall(SYS.openat2, AT_FDCWD, cstring("."), how, how.byteLength);
  if (result < 0)
    return not("missing", errnoName(-result), `${NEWER}, or lift the seccomp filter that hides it`);
  new Fd(result)[Symbol.dispose]();
  return ok("there");
}

function lowerdirPlus(): Finding {
  using context = fsopen("overlay");
  using layer = openDirectory("/proc/self");
  if (setFdOption(context, "lowerdir+", layer) === 0) return ok("up to 500 layers, by descriptor");
  if (setOption(context, "lowerdir+", "/proc/self") === 0) return ok("up to 500 layers, by path");
  return not("limited", "about 15 layers", "Linux 6.8 or later takes up to 500");
}

function accepts(option: string, value: string | undefined, since: string): Finding {
  using context = fsopen("overlay");
  const result = setOption(context, option, value);
  return result === 0 ? ok("there") : not("limited", errnoName(-result), `Linux ${since} or later has it`);
}

/** A process in a user namespace of its own, for {@link idmap}. */
function userNamespace(): Promise<ChildProcess | undefined> {
  return new Promise((resolve) => {
    const child = spawn("unshare", ["--user", "--map-root-user", "sh", "-c", "echo; exec sleep 30"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    child.once("error", () => resolve(undefined));
    child.once("exit", () => resolve(undefined));
    child.stdout.once("data", () => resolve(child));
  });
}

/** mount_setattr(2) MOUNT_ATTR_IDMAP on a tmpfs: whether a file system takes part differs from one to the next. */
function idmap(child: ChildProcess | undefined): Finding {
  if (child?.pid === undefined) return not("unknown", "no user namespace to try with");
  using namespace = openat(AT_FDCWD, `/proc/${child.pid}/ns/user`, O_RDONLY);
  using tree = cloneTree(AT_FDCWD, "/", false);
  const attributes = new BigUint64Array([MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(namespace.number)]);
  const size = attributes.byteLength;
  const result = syscall(SYS.mount_setattr, tree.number, cstring(""), AT_EMPTY_PATH, attributes, size);
  if (result === 0) return ok("on the root file system");
  return not(
    "limited",
    `not on the root file system: ${errnoName(-result)}`,
    "Linux 5.12 or later, by file system",
  );
}

function userNamespaces(): Finding {
  try {
    execFileSync("unshare", ["--user", "true"], { stdio: "ignore" });
    return ok("there");
  } catch {
    return not(
      "limited",
      "cannot be made",
      "sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone",
    );
  }
}

function controlGroups(): Finding {
  const layout = cgroupLayout(parseMountinfo(readMountinfo("self") ?? ""));
  switch (layout) {
    case "v2":
      return ok("version 2");
    case "v1":
      return ok("version 1");
    case "hybrid":
      return not("limited", "version 1 and 2 side by side", "runc takes it, crun does not");
    case "none":
      return not("missing", "not mounted", "mount -t cgroup2 none /sys/fs/cgroup: runtimes need them");
  }
}

/** Whether control groups of both versions are mounted, which crun refuses. */
export function isHybrid(): boolean {
  return cgroupLayout(parseMountinfo(readMountinfo("self") ?? "")) === "hybrid";
}
