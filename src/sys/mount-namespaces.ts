/** All mount namespaces of the machine, including those without a process (ioctl_nsfs(2), Linux 6.12). */
import { Fd, openat, openDirectory, readText } from "./fd.ts";
import { AT_FDCWD, O_RDONLY } from "./flags.ts";
import { syscall } from "./libc.ts";
import { withMountNamespace } from "./namespace.ts";
import { SYS } from "./numbers.ts";
import { fstat } from "./stat.ts";

/** linux/nsfs.h, with struct mnt_ns_info of 16 bytes: size, number of mounts, id of the namespace */
const NS_MNT_GET_NEXT = 0x8010b70b;
const NS_MNT_GET_PREV = 0x8010b70c;
const INFO_BYTES = 16;
const MOUNTINFO_LIMIT = 64 * 1024 * 1024;

/**
 * All mount namespaces but this process's own. Each is open until the caller asks for the next. Yields none where the
 * kernel cannot list them: before Linux 6.12, or without CAP_SYS_ADMIN.
 */
export function* otherMountNamespaces(): Generator<{ readonly fd: Fd; readonly name: string }> {
  for (const request of [NS_MNT_GET_PREV, NS_MNT_GET_NEXT]) {
    let here = openat(AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY);
    try {
      for (;;) {
        const info = new Uint8Array(INFO_BYTES);
        new DataView(info.buffer).setUint32(0, INFO_BYTES, true);
        const found = syscall(SYS.ioctl, here.number, request, info);
        if (found < 0) break;
        here[Symbol.dispose]();
        here = new Fd(found);
        yield { fd: here, name: `mnt:[${fstat(found).ino}]` };
      }
    } finally {
      here[Symbol.dispose]();
    }
  }
}

/** The mount table of a namespace, in the format of mountinfo. The namespace need not have a process. */
export function mountTableOf(namespace: Fd): string {
  using proc = openDirectory("/proc");
  return withMountNamespace(
    namespace,
    () => readText("thread-self/mountinfo", proc.number, MOUNTINFO_LIMIT) ?? "",
  );
}
