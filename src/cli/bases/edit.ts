import { commitSession } from "../../bases/commit-session.ts";
import { runInSession } from "../../bases/edit-command.ts";
import {
  alreadyOpen,
  attachSession,
  detachSession,
  discardFromSession,
  dropAbandoned,
  dropSession,
  keepSession,
  openSession,
} from "../../bases/edit-session.ts";
import { parseVolume } from "../../containers/volume.ts";
import { causes, UsageError, VeneerError, withContextAsync } from "../../errors.ts";
import { makeRun, makeStore, type Store } from "../../store/paths.ts";
import { lockSession, readSession } from "../../store/sessions.ts";
import { workingDirectory } from "../../sys/self.ts";
import { checkName } from "../../text/names.ts";
import { quote } from "../../text/quote.ts";
import type { Command, Context, Input } from "../framework/command.ts";
import { drawProgress } from "../framework/progress.ts";
import { ALWAYS, CANDIDATE, DISCARD, readDiscarded, tellPublished } from "../framework/published.ts";
import { JSON_OPTION } from "../framework/table.ts";
import { refuseTransientMount } from "../framework/transient-mount.ts";

export const command: Command = {
  name: "base edit",
  changes: true,
  publishes: true,
  summary: "Change a base: open a writable session on its current version, or run a command in one",
  operands: [{ name: "NAME", complete: "base" }],
  options: [
    {
      name: "--env",
      short: "-e",
      value: "KEY=VALUE",
      help: "with a COMMAND: add a variable to its environment",
    },
    {
      name: "--volume",
      short: "-v",
      value: "SRC:DST[:ro]",
      help: "with a COMMAND: bind a file or directory of the host, which does not become part of the base",
      complete: "file",
    },
    DISCARD,
    ALWAYS,
    CANDIDATE,
    JSON_OPTION,
  ],
  rest: "COMMAND...",
  description: `Without a COMMAND: mounts a writable session and prints its mount point, below --run. Change what you like there,
then 'veneer base commit NAME' publishes the changes as the next version, 'veneer base abort NAME' drops
them. The session is on disk: after a reboot, 'veneer base edit NAME' mounts it again.

With a COMMAND: runs it with the session as its root, with /proc, /sys, a small /dev, the host's network and
resolv.conf, in mount and pid namespaces of its own; none of these ends up in the layer. If it exits with 0, its
changes are published and NAME@VERSION is printed after its own output; otherwise they are
dropped. If they change nothing but times, no version is published, and the current one is printed. The exit status is the command's, 128+N when
signal N ended it. The command gets PATH, HOME=/root, TERM, LANG and the proxy variables of the environment, and what -e adds. Only the
command sees what -v binds. What it changed at the paths of --discard (downloads, logs, keys) is dropped before the changes are published.

A base has one session at a time. Earlier versions, and what runs on them, do not change.`,
  examples: [
    "veneer base edit debian -- apt-get install -y nginx",
    "veneer base edit debian --discard /var/cache/apt --discard /var/lib/apt/lists -- apt-get install -y nginx",
    "veneer base edit debian -v ./playbooks:/mnt:ro -e ANSIBLE_NOCOLOR=1 -- ansible-playbook -c local -i localhost, /mnt/site.yml",
    "veneer base edit debian -- sh -c 'apt-get update && apt-get upgrade -y'",
    'dir=$(veneer base edit debian) && cp app.conf "$dir/etc/" && veneer base commit debian',
  ],
  async run(context, input) {
    const name = checkName("base", input.operands[0] ?? "");
    const { store } = context.settings;
    makeStore(store);
    makeRun(store);
    if (await dropAbandoned(store, name)) {
      context.note(`veneer: dropped an abandoned session of base ${name}`);
    }
    const alone = ["--env", "--volume", "--discard"].find((option) => input.has(option));
    if (input.rest === undefined && alone) throw new UsageError(`${alone} is for a session with a COMMAND`);
    if (input.rest === undefined) refuseTransientMount("open a session", context.env);
    if (input.rest === undefined) return openByHand(context, store, name);
    if (input.rest.length === 0) throw new UsageError("no command after --");
    return editBy(context, input, store, name, input.rest);
  },
};

function openByHand(context: Context, store: Store, name: string): number {
  const existing = readSession(store, name);
  if (existing) {
    using _lock = lockSession(store, name);
    context.note(
      `veneer: session of base ${name} on version ${existing.version}, opened ${existing.created}`,
    );
    context.out(attachSession(store, name, existing));
    return 0;
  }
  const { session, lock } = openSession(store, name);
  using _lock = lock;
  context.out(attachSession(store, name, session));
  return 0;
}

async function editBy(
  context: Context,
  input: Input,
  store: Store,
  name: string,
  words: readonly string[],
): Promise<number> {
  if (readSession(store, name)) throw alreadyOpen(store, name);
  const volumes = input.values("--volume").map((text) => parseVolume(text, workingDirectory()));
  const discarded = readDiscarded(input);
  const { session, lock } = openSession(store, name, words, volumes);
  using _lock = lock;
  // await here: the lock is released when this scope ends
  return await withContextAsync(`edit ${name}`, async () => {
    let status = -1;
    try {
      status = await runInSession(store, name, words, context.env, readVariables(input));
    } finally {
      if (status !== 0) {
        detachSession(store, name, true);
        await dropSession(store, name, session);
      }
    }
    if (status !== 0) {
      context.note(
        `veneer: ${quote(words[0] as string)} ended with status ${status}: base ${name} is unchanged`,
      );
      return status;
    }
    detachSession(store, name);
    discardFromSession(store, name, discarded);
    using progress = drawProgress(context);
    const options = {
      always: input.has("--always"),
      candidate: input.has("--candidate"),
      shareFiles: context.settings.config.shareFiles,
    };
    const version = await commitSession(store, name, session, words.join(" "), progress, options).catch(
      (error) => {
        // keep the changes of the command when another version was published meanwhile
        if (hasMoved(error)) keepSession(store, name, session);
        throw error;
      },
    );
    progress[Symbol.dispose]();
    tellPublished(context, input, version);
    return 0;
  });
}

function hasMoved(error: unknown): boolean {
  return [...causes(error)].some((frame) => frame instanceof VeneerError && frame.code === "MOVED");
}

/** The values of --env. Throws UsageError when one is not `K=V`. */
function readVariables(input: Input): string[] {
  for (const text of input.values("--env")) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*=/.test(text))
      throw new UsageError(`variable ${quote(text)} is not KEY=VALUE`);
  }
  return [...input.values("--env")];
}
