import { UsageError } from "../../errors.ts";
import type { Command } from "../framework/command.ts";

/** Described here for help and completion; main.ts runs it without this file. */
export const command: Command = {
  name: "runtime",
  outside: true,
  summary: "Prepare a container for the wrapping runtimes veneer-runc and veneer-crun",
  operands: [],
  options: [
    { name: "--real", value: "NAME", help: "the real runtime", complete: "runtime" },
    {
      name: "--placement",
      value: "WHERE",
      help: "private: in the caller's mount namespace; host",
      complete: ["private", "host"],
    },
    { name: "--which", value: "NAME", help: "print the path of a real runtime in the configuration" },
  ],
  rest: "ARGS...",
  description: "Called by the scripts veneer-runc and veneer-crun: use those.",
  run() {
    throw new UsageError("veneer runtime is called by veneer-runc and veneer-crun", "use those");
  },
};
