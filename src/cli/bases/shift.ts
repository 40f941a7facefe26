import { UsageError } from "../../errors.ts";
import { shiftBase } from "../../layers/shift.ts";
import { formatBaseRef, parseBaseRef } from "../../text/names.ts";
import { idMapOf } from "../../userns/id-mapping.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";

export const command: Command = {
  name: "base shift",
  summary: "Copy a version for a user namespace if the kernel cannot idmap it",
  operands: [{ name: "NAME[@V]", complete: "base" }],
  options: [
    { name: "--uidmap", value: "CONTAINER:HOST:SIZE", help: "ids of the user namespace" },
    { name: "--gidmap", value: "CONTAINER:HOST:SIZE", help: "the same for groups; default as --uidmap" },
  ],
  description: `
Containers with a user namespace share a base as it is if its layers can be idmapped (Linux 5.19, and a file
system that supports it). Otherwise they need a copy of it whose files belong to their ids on the
host. It is made once for each map, shared by all containers with that map, and removed with the base. Containers
use it when it exists; with --shifted-copy (of run and of the hooks) or "shiftedCopy" in the configuration, the
first start with a map makes it.`,
  examples: ["veneer base shift debian --uidmap 0:100000:65536"],
  async run(context, input) {
    const ref = parseBaseRef(input.operands[0] ?? "");
    const map = idMapOf(input.values("--uidmap"), input.values("--gidmap"));
    if (!map) throw new UsageError("no ids are given", "add --uidmap 0:HOST:SIZE");
    using progress = drawProgress(context);
    const { name, version } = await shiftBase(context.settings.store, ref, map, progress);
    context.out(formatBaseRef({ name, version }));
  },
};
