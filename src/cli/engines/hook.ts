import { UsageError } from "../../errors.ts";
import type { Command } from "../framework/command.ts";

/** Described here for help and completion; main.ts runs it without this file. */
export const command: Command = {
  name: "hook",
  outside: true,
  summary: "Give a container its root, as a hook of its engine",
  operands: [{ name: "KIND", optional: true, complete: ["oci", "precreate", "lxc"] }],
  options: [
    { name: "--base", value: "BASE[@V]", help: "the base; wins over annotations", complete: "base" },
    {
      name: "--instance",
      value: "ID",
      help: "name under which the upper is found again",
      complete: "instance",
    },
    { name: "--persistent", help: "keep the upper; without --instance under the container's name" },
    {
      name: "--opaque",
      value: "PATH",
      help: "a directory that starts empty (default /tmp and /root), or none",
    },
    { name: "--mask", value: "PATH", help: "a file of the base to hide; the last part may hold * and ?" },
    { name: "--tmpfs", value: "SIZE", help: "keep the upper in memory" },
    {
      name: "--shifted-copy",
      help: "where a base cannot be idmapped to a user namespace, copy it once for its ids",
    },
  ],
  description: `oci: at createRuntime (or prestart) and poststop, with the container's state on stdin.
precreate: podman's stage of that name, with config.json on stdin and the changed one on stdout; and poststop.
lxc: as lxc.hook.pre-mount and lxc.hook.post-stop.
A container that names no base is left alone, silently, with status 0.`,
  run() {
    throw new UsageError("veneer hook is started by an engine");
  },
};
