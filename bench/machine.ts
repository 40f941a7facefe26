/** What figures were measured on: they mean little without it. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, tmpdir, totalmem } from "node:os";
import { CLIENT } from "../test/helpers/docker.ts";
import { PATH, VENEER } from "./context.ts";

const PROGRAMS: Readonly<Record<string, readonly string[]>> = {
  veneer: [VENEER, "--version"],
  runc: ["runc", "--version"],
  crun: ["crun", "--version"],
  LXC: ["lxc-execute", "--version"],
  podman: ["podman", "--version"],
  Docker: [CLIENT, "--version"],
  containerd: ["containerd", "--version"],
  systemd: ["systemd-nspawn", "--version"],
  bubblewrap: ["bwrap", "--version"],
  umoci: ["umoci", "--version"],
  "Node.js": ["node", "--version"],
};

/** Processors, memory, file system, kernel, distribution, and the version of each program that is installed. */
export function describeMachine(): string {
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "Linux";
  const storage = spawnSync("findmnt", ["-no", "FSTYPE", "-T", tmpdir()], {
    encoding: "utf8",
    env: { PATH },
  });
  const hardware = [
    `${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}`,
    `${Math.round(totalmem() / 2 ** 30)} GB of memory`,
    storage.stdout.trim(),
  ];
  const versions = Object.entries(PROGRAMS).flatMap(([name, [file = "", ...args]]) => {
    const { stdout } = spawnSync(file, args, {
      encoding: "utf8",
      env: { PATH: `${PATH}:${process.env.PATH}` },
    });
    const version = /[0-9]+(\.[0-9]+)+/.exec(stdout ?? "")?.[0] ?? /[0-9]+/.exec(stdout ?? "")?.[0];
    return version === undefined ? [] : [`${name} ${version}`];
  });
  return [`${hardware.join(", ")}; Linux ${release()}, ${system}`, versions.join(", ")].join("; ");
}

/** How many processes wanted a processor in the last minute. */
export const load = () => (loadavg()[0] ?? 0).toFixed(1);
