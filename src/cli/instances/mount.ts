import { formatError, UsageError } from "../../errors.ts";
import { mountAll, mountInstance } from "../../instances/mount.ts";
import { listInstances } from "../../store/instances.ts";
import { checkName } from "../../text/names.ts";
import { refreshAllShares } from "../bases/refresh-shares.ts";
import type { Command } from "../framework/command.ts";
import { refuseFleeting } from "../framework/transient-mount.ts";

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
    { name: "--all", help: "mount everything again that was mounted or shared" },
  ],
  examples: ["veneer mount web1", "veneer mount web1 /srv/web1", "veneer mount --all"],
  async run(context, input) {
    refuseFleeting("mount", context.env);
    const [id, directory] = input.operands;
    const { settings, out, note } = context;
    if (input.has("--all")) {
      if (id !== undefined) throw new UsageError("veneer mount --all takes no ID");
      let failures = 0;
      mountAll(settings, listInstances(settings.store), out, (error) => {
        failures++;
        note(`veneer: ${formatError(error)}`);
      });
      if (context.user === undefined) {
        await refreshAllShares(context).catch((error: unknown) => {
          failures++;
          note(`veneer: share: ${formatError(error)}`);
        });
      }
      return failures === 0 ? 0 : 1;
    }
    if (id === undefined) throw new UsageError("veneer mount needs ID", "usage: veneer mount ID [DIR]");
    const wishes = { directory, suid: input.has("--suid") };
    out(mountInstance(settings, checkName("instance", id), wishes));
    return 0;
  },
};
