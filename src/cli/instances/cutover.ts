import { cutoverRestarting } from "../../engines/restart.ts";
import { cutover } from "../../rebase/generations.ts";
import { checkName, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { noteGeneration } from "./generation.ts";

export const command: Command = {
  name: "cutover",
  changes: true,
  summary: "Give an instance a fresh upper on another version",
  description: `
The generation before, which is the upper with all its changes and the version below it, is kept: 'veneer
fallback' leads back to it. An instance that is mounted by hand stays mounted where it is. It changes the files of
a container, so it is refused while one runs on it; with --restart that is stopped and started by the commands of
its engine (LXC, podman, Docker).`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "BASE[@V]", complete: "base" },
  ],
  options: [{ name: "--restart", help: "stop a container that runs on it, and start it again" }],
  async run(context, input) {
    const [name = "", base = ""] = input.operands;
    const id = checkName("instance", name);
    const ref = parseBaseRef(base);
    const { settings, env } = context;
    const restarted = input.has("--restart");
    const done = restarted ? await cutoverRestarting(settings, id, ref, env) : cutover(settings, id, ref);
    noteGeneration(context, id, done);
  },
};
