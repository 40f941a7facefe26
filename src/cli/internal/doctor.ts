import { kernelChecks } from "../../doctor/kernel.ts";
import { storeChecks } from "../../doctor/store.ts";
import type { Command } from "../framework/command.ts";

/** The checks that need privileges. `doctor` of a user without root runs them in a user namespace. */
export const command: Command = {
  name: "internal doctor",
  summary: "Check the kernel and the store from inside a user namespace",
  operands: [],
  options: [],
  async run(context) {
    const checks = [...kernelChecks(), ...storeChecks(context.settings.store)];
    context.out(JSON.stringify(checks));
  },
};
