/** `mount` as the small program has it: one instance. */
import { UsageError } from "../../errors.ts";
import { type MountOptions, mountInstance } from "../../instances/mount.ts";
import { mergeOptions } from "../../request/root-request.ts";
import { checkName, parseBaseRef } from "../../text/names.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { refuseTransientMount } from "../framework/transient-mount.ts";
import { readUpperOptions, UPPER_OPTIONS } from "../framework/upper-options.ts";

export const command: Command = {
  name: "mount",
  summary: "Mount an instance on the host",
  description: `
Prints the mount point: DIR, or RUN/mnt/ID. Set-user-ID bits have no effect there unless --suid is given, device
files unless --dev is: a root for chroot or a container needs both. While the instance is mounted, no container can
start on it. veneer remembers the mount: after a reboot, --all restores what was mounted and never
unmounted, and the bases shared with users. An instance that is already mounted there in the same way stays as it is.

With --fresh BASE, the instance is made for this mount, and 'veneer umount' removes it with everything that was written.`,
  operands: [
    { name: "ID", optional: true, complete: "instance" },
    { name: "DIR", optional: true, complete: "directory" },
  ],
  options: [
    { name: "--suid", help: "heed set-user-ID bits: for a root that a container or chroot will use" },
    { name: "--dev", help: "heed device files" },
    {
      name: "--fresh",
      value: "BASE[@V]",
      help: "make the instance for this mount; umount removes it",
      complete: "base",
    },
    ...UPPER_OPTIONS.map((option) => ({ ...option, help: `with --fresh: ${option.help}` })),
    {
      name: "--print",
      help: "mount nothing; print the mount(8) command that would show the instance, for a script",
    },
    { name: "--all", help: "restore everything that was mounted or shared" },
  ],
  examples: [
    "veneer mount web1",
    "veneer mount web1 /srv/web1",
    'root=$(veneer mount try --fresh debian --suid --dev) && chroot "$root" bash; veneer umount try',
    "veneer mount --all",
  ],
  large: (input) => input.has("--all") || input.has("--print"),
  run(context, input) {
    refuseTransientMount("mount", context.env);
    const [id, directory] = input.operands;
    if (id === undefined) throw new UsageError("veneer mount needs ID", "usage: veneer mount ID [DIR]");
    const fresh = freshOf(context, input);
    const wishes = {
      directory,
      suid: input.has("--suid"),
      dev: input.has("--dev"),
      ...(fresh && { fresh }),
    };
    context.out(mountInstance(context.settings, checkName("instance", id), wishes));
  },
};

function freshOf({ settings: { config } }: Context, input: Input): MountOptions["fresh"] {
  const given = input.value("--fresh");
  if (given !== undefined) {
    const base = parseBaseRef(given);
    const request = mergeOptions({ ...readUpperOptions(input), base }, {}, config);
    return { ...(request as NonNullable<typeof request>), base };
  }
  const option = UPPER_OPTIONS.find(({ name }) => input.has(name));
  if (!option) return undefined;
  throw new UsageError(
    `${option.name} is for an instance that is made`,
    `add --fresh BASE; 'veneer create' has ${option.name} too`,
  );
}
