import { sweepOutputs } from "../../containers/output.ts";
import {
  keepContainer,
  noRuntime,
  RUNTIMES,
  type RunningFacts,
  type RuntimeName,
  runContainer,
} from "../../containers/run.ts";
import { exitStatus, formatError, UsageError } from "../../errors.ts";
import { removeInstance } from "../../instances/remove.ts";
import { findRuntime } from "../../process/find-program.ts";
import { deleteInBackground } from "../../store/delete-in-background.ts";
import { readInstance } from "../../store/instances.ts";
import type { Store } from "../../store/paths.ts";
import { type Fd, readSome, uniqueSuffix, writeAll } from "../../sys/fd.ts";
import { untilStarted } from "../../sys/process/detached.ts";
import { pipe } from "../../sys/process/fork.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Context } from "../framework/command.ts";
import { storeHint } from "../framework/context.ts";
import { isTerminal } from "../framework/output.ts";
import { CONTAINER_OPTIONS, readContainer, refuseForExisting } from "./options.ts";
import { milliseconds } from "./seconds.ts";

export const command: Command = {
  name: "run",
  summary: "Run a command in a container on a base",
  operands: [{ name: "BASE[@V]", complete: "base" }],
  options: [
    ...CONTAINER_OPTIONS,
    {
      name: "--runtime",
      value: "runc|crun",
      help: "default: the first that is installed",
      complete: RUNTIMES,
    },
    { name: "--rm", help: "afterwards remove the instance that --name made" },
    { name: "--stop-time", value: "SECONDS", help: "kill it if it still runs so long after SIGTERM" },
    { name: "--detach", short: "-d", help: "run in the background; print the container's id" },
    {
      name: "--json",
      help: "print JSON: with -d on standard output in place of the id, else after the end as the last line on standard error",
    },
  ],
  rest: "COMMAND...",
  description: `
What the container writes is deleted with it; with --name it stays in an instance of that name, which 'veneer ls' lists and a
later run finds again. Without a COMMAND it runs the command of the image that the base was made from, else /bin/sh.
The exit status is the command's, 128+N when signal N ended it. Signals are passed on.

With -d the container keeps running when the caller's session ends; use 'veneer exec ID', 'veneer logs ID' and 'veneer stop ID'
with it. It has no input.

With --json, -d prints {id, instance, base, version, pid}; pid is that of its first process, and instance is there with --name. In the
foreground both outputs are the container's: after its end, the last line on standard error is {id, instance, status}; status is
the exit status of 'veneer run' itself.`,
  examples: [
    "veneer run debian -t -- bash                a shell that forgets what it did",
    "veneer run debian --name web1 -- apt-get install -y nginx",
    "veneer run debian --name web1 -d -- nginx -g 'daemon off;'",
    "veneer run debian -d --json -- sleep 1h | jq -r .pid",
    "veneer run debian@3 -v /srv/data:/data:ro -u www-data -- /data/start",
  ],
  run(context, input) {
    const options = readContainer(context, input);
    const { store } = context.settings;
    if (options.terminal && !isTerminal(0)) {
      throw new UsageError("-t needs a terminal on stdin", "leave -t out, or run it from a terminal");
    }
    const detach = input.has("--detach");
    if (options.terminal && detach) {
      throw new UsageError("a container in the background has no terminal", "leave -t out: 'veneer exec -t'");
    }
    const remove = input.has("--rm");
    if (options.name !== undefined && readInstance(store, options.name)) {
      refuseForExisting(options);
      if (remove) {
        throw new UsageError(
          `instance ${options.name} exists already: --rm would remove what it keeps`,
          `leave --rm out, or remove it with 'veneer rm ${options.name}' first`,
        );
      }
    }
    const seconds = input.value("--stop-time");
    const stopTime =
      seconds === undefined ? undefined : milliseconds("--stop-time", seconds, /^[1-9][0-9]{0,5}$/);
    if (stopTime !== undefined && detach) {
      throw new UsageError(
        "--stop-time is for a container in the foreground",
        "'veneer stop --time SECONDS'",
      );
    }
    const runtime = chooseRuntime(context, input.value("--runtime"));
    const id = options.name ?? `${options.base.name.slice(0, 40)}-${uniqueSuffix()}`;
    const { env } = context;
    const place = { store, configFile: context.handedConfig, runtime, env };
    const runThen = (run: () => number) => {
      try {
        return run();
      } finally {
        if (remove && options.name !== undefined) removeAfterwards(store, options.name);
        sweepOutputs(store);
      }
    };
    const json = input.has("--json");
    const about = { id, ...(options.name !== undefined && { instance: options.name }) };
    if (!detach) {
      const ended = runThen(() => runContainer(place, id, options, stopTime));
      if (json) tellEnd(context, { ...about, status: ended });
      return ended;
    }
    const told = json ? pipe() : undefined;
    using facts = told?.read;
    const tell =
      told &&
      ((running: RunningFacts) =>
        writeAll(
          told.write.number,
          new TextEncoder().encode(JSON.stringify({ ...about, ...running })),
          "pipe",
        ));
    const status = untilStarted((started) => {
      try {
        return runThen(() => keepContainer(place, id, options, started, tell));
      } catch (error) {
        context.note(`veneer: ${formatError(error, storeHint(error))}`);
        return exitStatus(error);
      }
    });
    told?.write[Symbol.dispose]();
    if (status === undefined) context.out(facts ? readText(facts) || JSON.stringify(about) : id);
    return status;
  },
};

/** The container may have left its last line without an end. */
function tellEnd(context: Context, end: object): void {
  context.note("");
  context.note(JSON.stringify(end));
}

/** What is in a pipe: less than it takes at once. */
function readText(pipeEnd: Fd): string {
  const bytes = new Uint8Array(4096);
  return new TextDecoder().decode(bytes.subarray(0, readSome(pipeEnd.number, bytes, "pipe")));
}

/** Removes the instance if it exists: a start that failed may not have created it. */
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
  if (!name) throw new UsageError(`runtime ${quote(wanted)} is not known`, "write runc or crun");
  if (!isThere(name)) throw noRuntime(name);
  return name;
}
