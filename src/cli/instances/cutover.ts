import { cutoverRestarting } from "../../engines/restart.ts";
import { UsageError } from "../../errors.ts";
import { cutover, prepareCutover } from "../../rebase/generations.ts";
import { checkName, parseBaseRef } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { noteGeneration } from "./generation.ts";

export const command: Command = {
  name: "cutover",
  changes: true,
  summary: "Give an instance a fresh upper on another version",
  description: `
The former generation (the upper with all its changes, and the version below it) is kept: 'veneer
fallback' returns to it. An instance that is mounted by hand stays mounted where it is. A cutover replaces the files of
a container, so it is refused while one runs on the instance; with --restart the container is stopped and started by the commands of
its engine (LXC, podman, Docker).

With --prepare, the generation is made and its number printed, but the instance stays on its current one, running or not.
A later cutover onto that version, or 'veneer fallback ID --to N', moves to it.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "BASE[@V]", complete: "base" },
  ],
  options: [
    { name: "--restart", help: "stop a container that runs on it, and start it again" },
    { name: "--prepare", help: "make the generation, or find the one made before, and do not move to it" },
  ],
  async run(context, input) {
    const [name = "", base = ""] = input.operands;
    const id = checkName("instance", name);
    const ref = parseBaseRef(base);
    const { settings, env } = context;
    const restarted = input.has("--restart");
    if (input.has("--prepare")) {
      if (restarted) throw new UsageError("--prepare switches nothing: --restart does not go with it");
      context.out(String(prepareCutover(settings, id, ref)));
      return;
    }
    const done = restarted ? await cutoverRestarting(settings, id, ref, env) : cutover(settings, id, ref);
    noteGeneration(context, id, done);
  },
};
