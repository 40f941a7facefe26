import { noRuntime, RUNTIMES, type RuntimeName, runContainer } from "../../containers/run.ts";
import { UsageError } from "../../errors.ts";
import { removeInstance } from "../../instances/remove.ts";
import { findRuntime } from "../../process/find-program.ts";
import { deleteInBackground } from "../../store/delete-in-background.ts";
import { readInstance } from "../../store/instances.ts";
import type { Store } from "../../store/paths.ts";
import { uniqueSuffix } from "../../sys/fd.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Context } from "../framework/command.ts";
import { isTerminal } from "../framework/output.ts";
import { CONTAINER_OPTIONS, readContainer, refuseForExisting } from "./options.ts";

export const command: Command = {
  name: "run",
  summary: "Run a command in a container on a base",
  operands: [{ name: "BASE[@V]", complete: "base" }],
  options: [
    ...CONTAINER_OPTIONS,
    {
      name: "--runtime",
      value: "runc|crun",
      help: "default the first that is installed",
      complete: RUNTIMES,
    },
    { name: "--rm", help: "remove the instance that --name made, afterwards" },
  ],
  rest: "COMMAND...",
  description: `
What it writes goes with it, or with --name stays in an instance of that name, which 'veneer ls' lists and a
later run finds again. Without a COMMAND the one of the image that the base was made from is run, else /bin/sh.
The exit status is that of the command, 128+N when signal N ended it. Signals are handed on.`,
  examples: [
    "veneer run debian -t -- bash                a shell that forgets what it did",
    "veneer run debian --name web1 -- apt-get install -y nginx",
    "veneer run debian@3 -v /srv/data:/data:ro -u www-data -- /data/start",
  ],
  run(context, input) {
    const wishes = readContainer(context, input);
    const { store } = context.settings;
    if (wishes.terminal && !isTerminal(0)) {
      throw new UsageError("-t needs a terminal on stdin", "leave -t out, or run it from a terminal");
    }
    const remove = input.has("--rm");
    if (wishes.name !== undefined && readInstance(store, wishes.name)) {
      refuseForExisting(wishes);
      if (remove) {
        throw new UsageError(
          `instance ${wishes.name} exists already: --rm would remove what it keeps`,
          `leave --rm out, or remove it with 'veneer rm ${wishes.name}' first`,
        );
      }
    }
    const runtime = chooseRuntime(context, input.value("--runtime"));
    const id = wishes.name ?? `${wishes.base.name.slice(0, 40)}-${uniqueSuffix()}`;
    const { env } = context;
    const place = { store, configFile: context.handedConfig, runtime, env };
    try {
      return runContainer(place, id, wishes);
    } finally {
      if (remove && wishes.name !== undefined) removeAfterwards(store, wishes.name);
    }
  },
};

/** An instance that a failed start did not make is no error. */
function removeAfterwards(store: Store, id: string): void {
  if (readInstance(store, id)) deleteInBackground(removeInstance(store, id));
}

function chooseRuntime(context: Context, wanted: string | undefined): RuntimeName {
  const { config } = context.settings;
  const isThere = (name: RuntimeName) => findRuntime(name, config.runtimes, context.env.PATH) !== undefined;
  if (wanted === undefined) {
    const first = RUNTIMES.find(isThere);
    if (first) return first;
    throw noRuntime("runc");
  }
  const name = RUNTIMES.find((runtime) => runtime === wanted);
  if (!name) throw new UsageError(`runtime ${quote(wanted)} is not known`, "it is runc or crun");
  if (!isThere(name)) throw noRuntime(name);
  return name;
}
