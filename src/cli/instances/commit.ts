import { UsageError } from "../../errors.ts";
import { commitInstance, holdUnused } from "../../instances/clone.ts";
import type { Published } from "../../layers/published.ts";
import { cutover } from "../../rebase/generations.ts";
import { holdRunning } from "../../snapshot/running-source.ts";
import { checkInnerPath, checkName } from "../../text/names.ts";
import type { Command } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { ALWAYS, tellPublished } from "../framework/published.ts";
import { JSON_OPTION } from "../framework/table.ts";
import { noteGeneration } from "./generation.ts";
import { processOfOperand } from "./joined-namespace.ts";
import { LIVE_OPTIONS, liveLimit, noteCopied } from "./live-copy.ts";

export const command: Command = {
  name: "commit",
  changes: true,
  publishes: true,
  joins: (context, input) => (input.has("--live") ? processOfOperand(context, input) : undefined),
  summary: "Make a version of a base from an instance's changes",
  description: `
With the name of the instance's own base, its changes become the next version of that base, provided that the
instance is on the current version (with --force also on another: the changes of the versions since are then undone). If it changed nothing
but times, no version is published. With another name they become a new base, stacked on the instance's version.
What the instance masked or removed is missing there; a directory that it started empty holds what the instance
has in it. The instance stays as it is; with --cutover it gets a fresh upper on the new version, and keeps this
generation. Refused while anything holds it, unless --live is given: then what runs is paused for a moment, and its
changes of that moment are committed; ID may then also be a container that has no named instance. Prints NAME@VERSION.`,
  operands: [
    { name: "ID", complete: "instance" },
    { name: "NAME", complete: "base" },
  ],
  options: [
    ALWAYS,
    {
      name: "--force",
      help: "commit although the base is at another version than the instance, whose changes this undoes",
    },
    {
      name: "--exclude",
      value: "PATH",
      help: "leave out what was changed there and below; may be given several times",
    },
    { name: "--cutover", help: "then move the instance onto that version, with an empty upper" },
    ...LIVE_OPTIONS,
    JSON_OPTION,
  ],
  examples: [
    "veneer commit build1 debian-with-tools",
    "veneer rebase web1 debian && veneer commit web1 debian",
    "veneer commit build1 debian --exclude /var/cache --exclude /root --cutover",
  ],
  async run(context, input) {
    const [id = "", name = ""] = input.operands;
    using progress = drawProgress(context);
    const { settings } = context;
    const { store, config } = settings;
    const limit = liveLimit(input);
    if (limit !== undefined && input.has("--cutover")) {
      throw new UsageError(
        "--cutover gives an instance another upper, which --live cannot",
        "stop it first, and give --cutover alone",
      );
    }
    const options = {
      always: input.has("--always"),
      force: input.has("--force"),
      exclude: input.values("--exclude").map((path) => checkInnerPath("excluded path", path)),
      shareFiles: config.shareFiles,
    };
    const base = checkName("base", name);
    const instance = checkName("instance", id);
    let made: Published;
    {
      // the lock ends once the version is published, because a cutover takes it again
      using source =
        limit === undefined ? holdUnused(store, instance) : holdRunning(settings, instance, limit);
      made = await commitInstance(store, source, base, progress, options);
      progress[Symbol.dispose]();
      noteCopied(context, source);
    }
    tellPublished(context, input, made);
    if (input.has("--cutover") && !made.unchanged) {
      noteGeneration(
        context,
        instance,
        cutover(context.settings, instance, { name: made.name, version: made.version }),
      );
    }
  },
};
