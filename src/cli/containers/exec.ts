import { execInContainer } from "../../containers/exec.ts";
import { UsageError } from "../../errors.ts";
import { checkInnerPath } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { isTerminal } from "../framework/output.ts";
import { findContainer, processOfContainer } from "./find.ts";
import { readVariable } from "./options.ts";

export const command: Command = {
  name: "exec",
  summary: "Run a command in a container of 'veneer run'",
  joins: processOfContainer,
  operands: [{ name: "ID", complete: "container" }],
  options: [
    { name: "--env", short: "-e", value: "K[=V]", help: "set a variable, or pass on the caller's" },
    { name: "--workdir", short: "-w", value: "DIR", help: "working directory of the command" },
    { name: "--user", short: "-u", value: "USER[:GROUP]", help: "run as this user: names or numbers" },
    { name: "--tty", short: "-t", help: "give the command a terminal" },
  ],
  rest: "COMMAND...",
  description: `
COMMAND gets the capabilities of the container's own command, and its variables, user and working directory unless options say
otherwise. The exit status is the command's.`,
  examples: ["veneer exec web1 -t -- bash", "veneer exec web1 -u www-data -- nginx -t"],
  run(context, input) {
    const { store } = context.settings;
    const terminal = input.has("--tty");
    if (!input.rest?.length) throw new UsageError("there is no command", "veneer exec ID -- COMMAND...");
    if (terminal && !isTerminal(0)) {
      throw new UsageError("-t needs a terminal on stdin", "leave -t out, or run it from a terminal");
    }
    const cwd = input.value("--workdir");
    const user = input.value("--user");
    const id = findContainer(store, input.operands[0], { client: "exec", lxc: "lxc-attach" });
    const term = terminal ? [`TERM=${context.env.TERM ?? "xterm"}`] : [];
    const variables = input.values("--env").map((word) => readVariable(word, context.env));
    return execInContainer({ store, configFile: context.handedConfig, env: context.env }, id, {
      args: input.rest,
      env: [...term, ...variables],
      terminal,
      ...(cwd !== undefined && { cwd: cwd === "/" ? cwd : checkInnerPath("working directory", cwd) }),
      ...(user !== undefined && { user }),
    });
  },
};
