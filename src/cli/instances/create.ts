import { mergeOptions } from "../../request/root-request.ts";
import { makeInstance } from "../../store/create-instance.ts";
import { checkName, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { JSON_OPTION } from "../framework/table.ts";
import { readUpperOptions, UPPER_OPTIONS } from "../framework/upper-options.ts";

export const command: Command = {
  name: "create",
  changes: true,
  summary: "Make a named instance of a base",
  description: `
The instance keeps what is written to it. Start it under any engine by its name, or mount it by hand. Prints
the instance's id.`,
  operands: [{ name: "ID" }, { name: "BASE[@V]", complete: "base" }],
  options: [...UPPER_OPTIONS, JSON_OPTION],
  examples: [
    "veneer create web1 debian",
    "veneer create web2 debian@3 --opaque /tmp --opaque /var/cache --mask '/etc/ssh/ssh_host_*'",
  ],
  run(context, input) {
    const { store, config } = context.settings;
    const [name = "", base = ""] = input.operands;
    const id = checkName("instance", name);
    const ref = parseBaseRef(base);
    const request = mergeOptions({ ...readUpperOptions(input), base: ref }, {}, config);
    const made = makeInstance(store, id, ref, request as NonNullable<typeof request>);
    if (input.has("--json")) context.out(JSON.stringify({ id, base: made.base, version: made.version }));
    else context.out(id);
  },
};
