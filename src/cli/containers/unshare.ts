import { UsageError } from "../../errors.ts";
import { requireRunDirectory } from "../../process/account.ts";
import { geteuid } from "../../sys/process.ts";
import type { Command } from "../framework/command.ts";
import { runInside } from "../framework/user-namespace.ts";

export const command: Command = {
  name: "unshare",
  outside: true,
  summary: "Run a command, or a shell, in the user namespace of a user without root",
  operands: [],
  options: [],
  rest: "COMMAND...",
  description: `
Inside, the user is root over all ids of /etc/subuid, the owners of files in uppers appear as the
container sees them, and what 'veneer mount' and 'veneer base edit' mount stays until the command ends. Every other
veneer command makes such a namespace for itself. Without a COMMAND it runs the user's shell.`,
  examples: [
    "veneer unshare                              then: veneer mount web1",
    "veneer unshare -- sh -c 'cp -a notes \"$(veneer mount web1)\"/srv'",
  ],
  run(context, input) {
    if (geteuid() === 0) {
      throw new UsageError(
        "veneer unshare is for users without root",
        "as root every command works as it is",
      );
    }
    const { settings, defaultRun, env } = context;
    requireRunDirectory(settings.store.run, defaultRun, env);
    const [file = env.SHELL || "/bin/sh", ...args] = input.rest ?? [];
    return runInside(file, args, env, "shell");
  },
};
