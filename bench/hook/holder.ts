/** A container that is being created: a waiting process with a root and mounts as runc has them at createRuntime. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** The mounts of `runc spec` and a bound file, as engines add for /etc/resolv.conf. */
const SETUP = `
root=$1
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o nosuid,mode=755,size=65536k tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o nosuid,noexec,newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
mount -t tmpfs -o nosuid,noexec,nodev,mode=1777,size=65536k shm "$root/dev/shm"
mount -t mqueue -o nosuid,noexec,nodev mqueue "$root/dev/mqueue"
mount -t sysfs -o nosuid,noexec,nodev,ro sysfs "$root/sys"
mount -t tmpfs -o nosuid,noexec,nodev,mode=755 tmpfs "$root/sys/fs/cgroup" 2>/dev/null || :
mount --bind "$root/../volume" "$root/etc/hosts"
`;

export interface Holder {
  readonly pid: number;
  /** children directly or further below the root */
  readonly mounts: number;
  end(): Promise<void>;
}

/** Makes the bundle's files once; `bundle/rootfs` is the empty root that a hook covers. */
export function makeHolderBundle(bundle: string): void {
  for (const path of ["rootfs/proc", "rootfs/dev", "rootfs/sys", "rootfs/etc"]) {
    mkdirSync(join(bundle, path), { recursive: true });
  }
  writeFileSync(join(bundle, "volume"), "127.0.0.1 localhost\n");
  writeFileSync(join(bundle, "rootfs/etc/hosts"), "");
}

/**
 * Starts the process; it waits, with the mounts in place, until {@link Holder.end}. A private namespace, as the
 * runtime's: nothing shows on the host, and all goes with the process.
 */
export async function startHolder(bundle: string): Promise<Holder> {
  const ready = join(bundle, "ready");
  writeFileSync(ready, "");
  const script = `set -e\n${SETUP}\necho $$ >"$2"\nexec sleep 600`;
  const args = ["-m", "--propagation", "slave", "sh", "-c", script, "holder", join(bundle, "rootfs"), ready];
  const child: ChildProcess = spawn("unshare", args, { stdio: ["ignore", "ignore", "inherit"] });
  const pid = await waitForPid(ready, child);
  const below = `${bundle}/rootfs/`;
  const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").split(below).length - 1;
  return { pid, mounts, end: () => stop(child) };
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

async function waitForPid(ready: string, child: ChildProcess): Promise<number> {
  const deadline = Date.now() + 10_000;
  while (Date.now() < deadline) {
    const text = readFileSync(ready, "utf8");
    if (text.endsWith("\n")) return Number(text);
    if (child.exitCode !== null) break;
    await sleep(2);
  }
  throw new Error("the waiting process of the hook's benchmark did not start; hint: run as root");
}
