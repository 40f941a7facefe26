/** All commands by name, in the order of help. The file of a command is only loaded when the command is called. */
import type { Command } from "./command.ts";

type Loader = () => Promise<{ command: Command }>;

export const GROUPS: readonly { readonly title: string; readonly verbs: Readonly<Record<string, Loader>> }[] =
  [
    {
      title: "bases",
      verbs: {
        "base import": () => import("../bases/import.ts"),
        "base ls": () => import("../bases/ls.ts"),
        "base show": () => import("../bases/show.ts"),
        "base rm": () => import("../bases/rm.ts"),
        "base prune": () => import("../bases/prune.ts"),
        "base export": () => import("../bases/export.ts"),
        "base log": () => import("../bases/log.ts"),
        "base diff": () => import("../bases/diff.ts"),
        "base use": () => import("../bases/use.ts"),
        "base new": () => import("../bases/new.ts"),
        "base edit": () => import("../bases/edit.ts"),
        "base commit": () => import("../bases/commit.ts"),
        "base abort": () => import("../bases/abort.ts"),
        "base shift": () => import("../bases/shift.ts"),
        "base verify": () => import("../bases/verify.ts"),
        "base policy": () => import("../bases/policy.ts"),
        "base update": () => import("../bases/update.ts"),
        "base share": () => import("../bases/share.ts"),
        "base unshare": () => import("../bases/unshare.ts"),
      },
    },
    {
      title: "instances",
      verbs: {
        create: () => import("../instances/create.ts"),
        mount: () => import("../instances/mount.ts"),
        mounted: () => import("../instances/mounted.ts"),
        umount: () => import("../instances/umount.ts"),
        clone: () => import("../instances/clone.ts"),
        adopt: () => import("../instances/adopt.ts"),
        commit: () => import("../instances/commit.ts"),
        rm: () => import("../instances/rm.ts"),
        cutover: () => import("../instances/cutover.ts"),
        rebase: () => import("../instances/rebase.ts"),
        fallback: () => import("../instances/fallback.ts"),
        rollout: () => import("../instances/rollout.ts"),
      },
    },
    {
      title: "look",
      verbs: {
        ls: () => import("../look/ls.ts"),
        ps: () => import("../look/ps.ts"),
        tree: () => import("../look/tree.ts"),
        inspect: () => import("../look/inspect.ts"),
        diff: () => import("../look/diff.ts"),
        df: () => import("../look/df.ts"),
        config: () => import("../look/config.ts"),
        events: () => import("../look/events.ts"),
        metrics: () => import("../look/metrics.ts"),
        doctor: () => import("../look/doctor.ts"),
        completion: () => import("../look/completion.ts"),
      },
    },
    {
      title: "run",
      verbs: {
        run: () => import("../containers/run.ts"),
        exec: () => import("../containers/exec.ts"),
        stop: () => import("../containers/stop.ts"),
        logs: () => import("../containers/logs.ts"),
        bundle: () => import("../containers/bundle.ts"),
        unshare: () => import("../containers/unshare.ts"),
      },
    },
    {
      title: "keep tidy",
      verbs: {
        gc: () => import("../look/gc.ts"),
        dedupe: () => import("../look/dedupe.ts"),
      },
    },
    {
      title: "for engines",
      verbs: {
        hook: () => import("../engines/hook.ts"),
        runtime: () => import("../engines/runtime.ts"),
        nri: () => import("../engines/nri.ts"),
        setup: () => import("../engines/setup.ts"),
        unsetup: () => import("../engines/unsetup.ts"),
      },
    },
  ];

/** The names of all commands that help lists, in its order. */
export function verbNames(): string[] {
  return GROUPS.flatMap(({ verbs }) => Object.keys(verbs));
}

/** Whether the word begins other commands, as `base` does. */
export function isGroup(word: string): boolean {
  return verbNames().some((name) => name.startsWith(`${word} `));
}

/** Loads the descriptions of all commands, in the order of help. */
export async function loadCommands(): Promise<Command[]> {
  const loaded = await Promise.all(GROUPS.flatMap(({ verbs }) => Object.values(verbs).map((load) => load())));
  return loaded.map(({ command }) => command);
}

/** Commands that only veneer itself calls; help does not list them. */
const INTERNAL: Readonly<Record<string, Loader>> = {
  "internal complete": () => import("../internal/complete.ts"),
  "internal doctor": () => import("../internal/doctor.ts"),
  "internal sum-files": () => import("../internal/sum-files.ts"),
  "internal merge": () => import("../internal/merge.ts"),
  "internal recover": () => import("../internal/recover.ts"),
  "internal enter-session": () => import("../internal/enter-session.ts"),
};

/** The names of the commands that only veneer itself calls. */
export const INTERNAL_VERBS: readonly string[] = Object.keys(INTERNAL);

/** Returns the loader of a command, internal ones included; undefined when there is no such command. */
export function findVerb(name: string): Loader | undefined {
  for (const verbs of [...GROUPS.map((group) => group.verbs), INTERNAL]) {
    if (Object.hasOwn(verbs, name)) return verbs[name];
  }
  return undefined;
}
