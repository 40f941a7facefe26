import { during, UsageError } from "../../errors.ts";
import { lockBase, readVersion } from "../../store/bases.ts";
import { publishVersion } from "../../store/versions.ts";
import { checkName, formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "base new",
  summary: "Make a base that stands on a version of another",
  operands: [{ name: "NAME" }],
  options: [{ name: "--from", value: "BASE[@V]", help: "what it stands on", complete: "base" }],
  description: `Costs no space: the new base's first version has the layers of the other's, and 'veneer base edit NAME' stacks more on
top. The two lines go their own ways from there; the version below cannot be removed while this one needs it.`,
  examples: ["veneer base new apps --from debian@3", "veneer base edit apps -- apt-get install -y nginx"],
  run(context, input) {
    const { store } = context.settings;
    const name = checkName("base", input.operands[0] ?? "");
    const from = input.value("--from");
    if (from === undefined) throw new UsageError("--from BASE[@V] is missing");
    const ref = parseBaseRef(from);
    const made = during(`new ${name}`, () => {
      using _lock = lockBase(store, ref);
      const below = readVersion(store, ref);
      const { layers, config } = below.manifest;
      return publishVersion(
        store,
        name,
        {
          layers,
          origin: `from ${formatBaseRef(below)}`,
          from: { name: below.name, version: below.version },
          ...(config && { config }),
        },
        "new",
      );
    });
    context.out(formatBaseRef(made));
  },
};
