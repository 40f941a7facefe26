import { UsageError } from "../../errors.ts";
import { servePlugin } from "../../nri/plugin.ts";
import { programPath } from "../../sys/self.ts";
import type { Command, Context } from "../framework/command.ts";

export const command: Command = {
  name: "nri",
  outside: true,
  summary: "Give pods their base without a RuntimeClass, as a plugin of containerd's NRI",
  operands: [],
  options: [],
  description: `
containerd starts it from the file that 'veneer setup nri' writes to /opt/nri/plugins, and ends it. It adds 'veneer hook oci'
and the pod's annotations to the containers of each pod that has the annotation run.veneer.base.`,
  run(context) {
    const { NRI_PLUGIN_SOCKET: socket = "", NRI_PLUGIN_NAME, NRI_PLUGIN_IDX } = context.env;
    if (!/^[0-9]{1,9}$/.test(socket)) {
      throw new UsageError(
        "veneer nri is started by containerd",
        "'veneer setup nri' puts it where containerd looks",
      );
    }
    const name = { name: NRI_PLUGIN_NAME ?? "veneer", index: NRI_PLUGIN_IDX ?? "50" };
    servePlugin(Number(socket), name, hookOf(context));
  },
};

/** The hook works on the store of this call. */
function hookOf({ settings, origins, handedConfig }: Context) {
  const globals = [
    ...(handedConfig === "" ? [] : ["--config", handedConfig]),
    ...(origins.root === undefined ? [] : ["--root", settings.store.root]),
    ...(origins.run === undefined ? [] : ["--run", settings.store.run]),
  ];
  return { path: programPath(), args: ["veneer", ...globals, "hook", "oci"] };
}
