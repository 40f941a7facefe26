import { UsageError } from "../../errors.ts";
import { isCloneHook } from "../../request/lxc-hook.ts";
import type { Command } from "../framework/command.ts";

/** Only for help and completion: main.ts runs hooks without this file. */
export const command: Command = {
  name: "hook",
  outside: true,
  summary: "Give a container its root, as a hook of its engine",
  operands: [
    { name: "KIND", optional: true, complete: ["oci", "precreate", "lxc"] },
    { name: "WORD", optional: true, repeated: true },
  ],
  options: [
    { name: "--base", value: "BASE[@V]", help: "the base; wins over annotations", complete: "base" },
    {
      name: "--instance",
      value: "ID",
      help: "name under which the upper is found again",
      complete: "instance",
    },
    {
      name: "--container",
      value: "NAME",
      help: "lxc: refuse any other container, above all one with a copy of this configuration",
    },
    {
      name: "--refuse-copies",
      help: "lxc, with --persistent: refuse a container whose root directory was copied from another's",
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
      help: "if a base cannot be idmapped to a user namespace, copy it once for its ids",
    },
  ],
  description: `oci: at createRuntime (or prestart) and poststop, with the container's state on stdin.
precreate: podman's stage of that name, with config.json on stdin and the changed one on stdout; and poststop.
lxc: as lxc.hook.pre-mount and lxc.hook.post-stop; as lxc.hook.clone with --instance ID, it gives a copy of the
container a copy of the instance.
For a container that names no base it does nothing, prints nothing, and exits with status 0.`,
  async run(context, input) {
    if (input.operands[0] === "lxc" && isCloneHook(context.env, input.operands.slice(1))) {
      const { cloneForLxc } = await import("../../engines/lxc-clone.ts");
      const instance = input.value("--instance");
      return cloneForLxc(context.settings, context.env, input.operands.slice(1), instance);
    }
    throw new UsageError("veneer hook is started by an engine");
  },
};
