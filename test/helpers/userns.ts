/** Containers with user namespaces. */
import { chmodSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Config } from "./bundle.ts";
import { type Host, must } from "./host.ts";

export interface Range {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: number;
}

/** 65,536 ids from `hostID` on. */
export const range = (hostID: number): Range[] => [{ containerID: 0, hostID, size: 65536 }];

/** Gives the container a user namespace, and root in it the capabilities that package installs use. */
export function mapIds(config: Config, uids: readonly Range[], gids = uids): void {
  config.linux.namespaces.push({ type: "user" });
  config.linux.uidMappings = uids;
  config.linux.gidMappings = gids;
  const all = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "SETFCAP", "SETGID", "SETUID"];
  const names = [...all, "SYS_ADMIN", "SYS_CHROOT"].map((name) => `CAP_${name}`);
  config.process.capabilities = { bounding: names, effective: names, permitted: names };
}

/** Lets the ids of a namespace pass to what is below the host's directory, as they must with any runtime. */
export function openTo(host: Host, ...directories: readonly string[]): void {
  for (const path of [host.dir, dirname(host.dir), ...directories])
    if (path !== "/tmp") chmodSync(path, 0o711);
}

/** Lets root give these ids to its containers: newuidmap(1) asks /etc/subuid even for root. Returns the way back. */
export async function grantIds(host: Host, first: number, count: number): Promise<() => Promise<unknown>> {
  const files = ["/etc/subuid", "/etc/subgid"];
  for (const file of files) {
    const own = join(host.dir, file.replaceAll("/", "-"));
    writeFileSync(own, `root:${first}:${count}\n`);
    await must("mount", ["--bind", own, file]);
  }
  return () => must("umount", files);
}
