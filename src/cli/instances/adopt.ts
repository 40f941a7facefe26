import { basename, dirname, resolve } from "node:path";
import { adoptLxc, planAdoption } from "../../engines/adopt-lxc.ts";
import { checkLxcName, type LxcContainer, startLine } from "../../engines/lxc-container.ts";
import { instanceName } from "../../engines/lxc-root.ts";
import { formatEdits } from "../../engines/setup.ts";
import { UsageError } from "../../errors.ts";
import { checkName, parseBaseRef } from "../../text/names.ts";
import { hookGlobals, LXCPATH_OPTION, lxcContainerOf, setupRequest } from "../engines/setup-common.ts";
import type { Command, Input } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";

export const command: Command = {
  name: "adopt",
  changes: true,
  summary: "Take over an LXC container that has an overlay of its own",
  operands: [{ name: "NAME|DIRECTORY", complete: "lxc" }],
  options: [
    { name: "--base", value: "BASE[@V]", help: "the base that its changes stand on", complete: "base" },
    { name: "--instance", value: "ID", help: "the instance's name (default: the container's)" },
    { name: "--force", help: "adopt it although the base is not what the changes were made on" },
    LXCPATH_OPTION,
    { name: "--dry-run", help: "print what would change, as a diff, and change nothing" },
  ],
  description: `
For containers of 'lxc-create -B overlay' and 'lxc-copy -s -B overlay', whose lxc.rootfs.path is
overlay:LOWER:UPPER. UPPER is copied to a new instance, by reflink if the file system supports it, and the
container's configuration then starts it on that instance. LOWER must equal the base: both are compared by everything
but the contents of files. The container must be stopped. UPPER itself stays as it is: 'veneer unsetup lxc NAME'
returns to it. Prints the instance's id.`,
  examples: [
    "veneer base import debian /var/lib/lxc/template/rootfs",
    "veneer adopt web1 --base debian",
    "veneer adopt /srv/lxc/web2 --base debian@3 --instance web2-old",
  ],
  async run(context, input) {
    const container = containerOf(input);
    const base = input.value("--base");
    if (base === undefined) throw new UsageError("veneer adopt needs --base BASE");
    const id = input.value("--instance");
    const adoption = {
      container,
      base: parseBaseRef(base),
      id: id === undefined ? instanceName(container.name) : checkName("instance", id),
      force: input.has("--force"),
      globals: hookGlobals(context),
      request: setupRequest(context, input),
    };
    const { store } = context.settings;
    if (input.has("--dry-run")) {
      context.out(formatEdits(planAdoption(store, adoption)).trimEnd());
      return;
    }
    using progress = drawProgress(context);
    await adoptLxc(store, adoption, progress);
    progress[Symbol.dispose]();
    context.out(adoption.id);
    context.note(`then: ${startLine(container)}`);
  },
};

function containerOf(input: Input): LxcContainer {
  const word = input.operands[0] as string;
  if (!word.includes("/")) return lxcContainerOf(input, word) as LxcContainer;
  const directory = resolve(word);
  return { name: checkLxcName(basename(directory)), path: dirname(directory) };
}
