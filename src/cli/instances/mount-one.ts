/** The verb as the small program has it: one instance. */
import { UsageError } from "../../errors.ts";
import { mountInstance } from "../../instances/mount.ts";
import { checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { refuseTransientMount } from "../framework/transient-mount.ts";

export const command: Command = {
  name: "mount",
  summary: "Mount an instance on the host",
  description: `
Prints the mount point: DIR, or RUN/mnt/ID. Set-user-ID bits and device files are without effect there unless
--suid is given. While it is mounted no container can start on the instance. A mount is remembered: --all
brings back, after a reboot, what was mounted and never unmounted, and what users have of shared bases.`,
  operands: [
    { name: "ID", optional: true, complete: "instance" },
    { name: "DIR", optional: true, complete: "directory" },
  ],
  options: [
    {
      name: "--suid",
      help: "for a root that a container or chroot will use: heed set-user-ID bits and devices",
    },
    {
      name: "--print",
      help: "mount nothing: print the mount(8) command that shows the instance, for a script",
    },
    { name: "--all", help: "mount everything again that was mounted or shared" },
  ],
  examples: ["veneer mount web1", "veneer mount web1 /srv/web1", "veneer mount --all"],
  large: (input) => input.has("--all") || input.has("--print"),
  run(context, input) {
    refuseTransientMount("mount", context.env);
    const [id, directory] = input.operands;
    if (id === undefined) throw new UsageError("veneer mount needs ID", "usage: veneer mount ID [DIR]");
    const options = { directory, suid: input.has("--suid") };
    context.out(mountInstance(context.settings, checkName("instance", id), options));
  },
};
