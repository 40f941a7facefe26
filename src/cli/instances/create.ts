import { mergeWishes, type Wishes } from "../../request/root-request.ts";
import { makeInstance } from "../../store/create-instance.ts";
import { checkInnerPath, checkName, parseBaseRef, parseSize } from "../../text/names.ts";
import type { Command, Input } from "../framework/command.ts";

export const command: Command = {
  name: "create",
  summary: "Make a named instance of a base",
  description: `
The instance keeps what is written to it: start it under any engine by its name, or mount it by hand. Prints
the instance's id.`,
  operands: [{ name: "ID" }, { name: "BASE[@V]", complete: "base" }],
  options: [
    {
      name: "--opaque",
      value: "PATH",
      help: "a directory that starts empty; default /tmp and /root; 'none'",
    },
    { name: "--mask", value: "PATH", help: "a file of the base to hide; the last part may hold * and ?" },
    { name: "--tmpfs", value: "SIZE", help: "keep the writes in memory, anew at each start: 64m, 2g" },
  ],
  examples: [
    "veneer create web1 debian",
    "veneer create web2 debian@3 --opaque /tmp --opaque /var/cache --mask '/etc/ssh/ssh_host_*'",
  ],
  run(context, input) {
    const { store, config } = context.settings;
    const [name = "", base = ""] = input.operands;
    const id = checkName("instance", name);
    const ref = parseBaseRef(base);
    const request = mergeWishes({ ...readWishes(input), base: ref }, {}, config);
    makeInstance(store, id, ref, request as NonNullable<typeof request>);
    context.out(id);
  },
};

function readWishes(input: Input): Wishes {
  const wishes: Wishes = {};
  if (input.has("--opaque")) {
    const given = input.values("--opaque").filter((path) => path !== "none");
    wishes.opaque = given.map((path) => checkInnerPath("opaque path", path));
  }
  if (input.has("--mask")) {
    wishes.mask = input.values("--mask").map((path) => checkInnerPath("masked path", path));
  }
  const size = input.value("--tmpfs");
  if (size !== undefined) wishes.tmpfs = parseSize(size);
  return wishes;
}
