import { stopContainer } from "../../containers/stop.ts";
import type { Command } from "../framework/command.ts";
import { findContainer, processOfContainer } from "./find.ts";
import { milliseconds } from "./seconds.ts";

const DEFAULT_TIME = 10;

export const command: Command = {
  name: "stop",
  summary: "Stop a container of 'veneer run'",
  changes: true,
  joins: processOfContainer,
  operands: [{ name: "ID", complete: "container" }],
  options: [{ name: "--time", value: "SECONDS", help: `before it is killed; default ${DEFAULT_TIME}` }],
  description: `
Its first process gets SIGTERM and, if it still runs after SECONDS, SIGKILL. On return nothing of the container is
left but the instance that --name gave it. The kernel withholds SIGTERM from a first process that has no handler for it: use '--time 0'
then, which does not wait.`,
  examples: ["veneer stop web1", "veneer stop web1 --time 60"],
  run(context, input) {
    const { store } = context.settings;
    const time = milliseconds("--time", input.value("--time") ?? String(DEFAULT_TIME), /^[0-9]{1,6}$/);
    const id = findContainer(store, input.operands[0], { client: "stop", lxc: "lxc-stop" });
    stopContainer({ store, configFile: context.handedConfig, env: context.env }, id, time);
  },
};
