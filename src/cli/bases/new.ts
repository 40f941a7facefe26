import { makeEmptyBase, stackBase } from "../../bases/new-base.ts";
import { withContext } from "../../errors.ts";
import { checkName, formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";

export const command: Command = {
  name: "base new",
  changes: true,
  summary: "Make an empty base, or one that stands on a version of another",
  operands: [{ name: "NAME" }],
  options: [
    { name: "--from", value: "BASE[@V]", help: "what it stands on; default: nothing", complete: "base" },
  ],
  description: `With --from it costs no space: the new base's first version has the layers of the other's, and 'veneer base edit NAME'
stacks more on top. The two lines go their own ways from there; the version below cannot be removed while this one
needs it.

Without --from its first version is one empty directory, to be filled by hand in the session of 'veneer base edit NAME'.`,
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
