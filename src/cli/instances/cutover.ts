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
The generation before, which is the upper with all its changes and the version below it, is kept: 'veneer
fallback' leads back to it. An instance that is mounted by hand stays mounted where it is. It changes the files of
a container, so it is refused while one runs on it; with --restart that is stopped and started by the commands of
its engine (LXC, podman, Docker).

With --prepare the generation is made and the instance stays on the one that it is on, running or not; a number is
printed. A later cutover onto that version, or 'veneer fallback ID --to N', leads to it.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "BASE[@V]", complete: "base" },
  ],
  options: [
    { name: "--restart", help: "stop a container that runs on it, and start it again" },
    { name: "--prepare", help: "make the generation, or find the one that was made, and do not switch" },
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
