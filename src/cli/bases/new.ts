import { makeEmptyBase, stackBase } from "../../bases/new-base.ts";
import { withContext } from "../../errors.ts";
import { checkName, formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "base new",
  changes: true,
  summary: "Make an empty base, or one on top of a version of another",
  operands: [{ name: "NAME" }],
  options: [
    { name: "--from", value: "BASE[@V]", help: "what it stands on; default: nothing", complete: "base" },
  ],
  description: `With --from it takes no space: its first version has the layers of the other base's version, and 'veneer base edit NAME'
stacks more on top. From then on the two bases are independent, but the version below cannot be removed while the new base
needs it.

Without --from, its first version is an empty directory, which you fill in the session of 'veneer base edit NAME'.`,
  examples: [
    "veneer base new apps --from debian@3",
    "veneer base edit apps -- apt-get install -y nginx",
    'veneer base new tools && cp -a /opt/tools "$(veneer base edit tools)/opt" && veneer base commit tools',
  ],
  run(context, input) {
    const { store } = context.settings;
    const name = checkName("base", input.operands[0] ?? "");
    const from = input.value("--from");
    const made = withContext(`new ${name}`, () =>
      from === undefined ? makeEmptyBase(store, name) : stackBase(store, name, parseBaseRef(from)),
    );
    context.out(formatBaseRef(made));
  },
};
