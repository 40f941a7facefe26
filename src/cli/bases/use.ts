import { UsageError, withContext } from "../../errors.ts";
import { readVersion } from "../../store/bases.ts";
import { refuseShared } from "../../store/shared.ts";
import { changeBase, setCurrent } from "../../store/versions.ts";
import { formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "base use",
  changes: true,
  publishes: true,
  summary: "Make an older or a newer version of a base the current one",
  operands: [{ name: "NAME@V", complete: "base" }],
  options: [],
  description: `New containers and instances start on the current version; existing ones stay on theirs. Versions newer than the
current one are kept: 'base use' returns to them, and the next version gets a number above theirs.`,
  examples: ["veneer base use debian@2"],
  run(context, input) {
    const { store } = context.settings;
    const ref = parseBaseRef(input.operands[0] ?? "");
    const { name, version } = ref;
    if (version === undefined) {
      throw new UsageError(
        `${name} names no version`,
        `write ${name}@NUMBER; 'veneer base log ${name}' lists them`,
      );
    }
    withContext(`use ${formatBaseRef(ref)}`, () => {
      refuseShared(store, name);
      using lock = changeBase(store, name);
      if (!lock) readVersion(store, ref);
      setCurrent(store, name, version);
    });
    context.out(formatBaseRef(ref));
  },
};
