import { UsageError } from "../../errors.ts";
import type { Command } from "../framework/command.ts";

/** Only for help and completion: the small program runs it (runtime/wrap.ts). */
export const command: Command = {
  name: "runtime",
  outside: true,
  summary: "Prepare a container and become its runtime, as veneer-runc and veneer-crun do",
  operands: [],
  options: [{ name: "--real", value: "NAME", help: "the real runtime", complete: "runtime" }],
  rest: "ARGS...",
  description:
    "The program does the same by the names veneer-runc and veneer-crun, which engines call: \
'veneer runtime --real runc -- run web1' is 'veneer-runc run web1'.",
  run() {
    throw new UsageError(
      "runtime needs --real and the runtime's own arguments behind --",
      "'veneer runtime --real runc -- run web1', or veneer-runc",
    );
  },
};
