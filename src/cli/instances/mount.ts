/** `mount` as the large program has it: also mounts everything with --all, including shares with users. */
import { formatError, UsageError } from "../../errors.ts";
import { mountAll } from "../../instances/mount.ts";
import { mountCommand } from "../../instances/mount-command.ts";
import { listInstances } from "../../store/instances.ts";
import { paths } from "../../store/paths.ts";
import { checkName } from "../../text/names.ts";
import { refreshAllShares } from "../bases/refresh-shares.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { refuseTransientMount } from "../framework/transient-mount.ts";
import { command as one } from "./mount-one.ts";

export const command: Command = {
  ...one,
  async run(context, input) {
    if (input.has("--print")) {
      print(context, input);
      return 0;
    }
    if (!input.has("--all")) {
      await one.run(context, input);
      return 0;
    }
    refuseTransientMount("mount", context.env);
    const { settings, out, note } = context;
    if (input.operands.length > 0) throw new UsageError("veneer mount --all takes no ID");
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
  },
};

function print({ settings: { store }, out }: Context, input: Input): void {
  const [id, directory] = input.operands;
  if (id === undefined) throw new UsageError("veneer mount --print needs ID");
  out(mountCommand(store, checkName("instance", id), directory ?? paths.mountPoint(store, id)));
}
