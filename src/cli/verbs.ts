/** All verbs, by name in the order of help. A verb's file is read when the verb is called. */
import type { Command } from "./command.ts";

type Loader = () => Promise<{ command: Command }>;

export const GROUPS: readonly { readonly title: string; readonly verbs: Readonly<Record<string, Loader>> }[] =
  [
    {
      title: "bases",
      verbs: {
        "base import": () => import("./base-import.ts"),
        "base ls": () => import("./base-ls.ts"),
        "base show": () => import("./base-show.ts"),
        "base rm": () => import("./base-rm.ts"),
        "base export": () => import("./base-export.ts"),
        "base log": () => import("./base-log.ts"),
        "base use": () => import("./base-use.ts"),
        "base new": () => import("./base-new.ts"),
        "base edit": () => import("./base-edit.ts"),
        "base commit": () => import("./base-commit.ts"),
        "base abort": () => import("./base-abort.ts"),
        "base shift": () => import("./base-shift.ts"),
        "base verify": () => import("./base-verify.ts"),
        "base share": () => import("./base-share.ts"),
        "base unshare": () => import("./base-unshare.ts"),
      },
    },
    {
      title: "instances",
      verbs: {
        create: () => import("./create.ts"),
        mount: () => import("./mount.ts"),
        umount: () => import("./umount.ts"),
        clone: () => import("./clone.ts"),
        adopt: () => import("./adopt.ts"),
        commit: () => import("./commit.ts"),
        rm: () => import("./rm.ts"),
        cutover: () => import("./cutover.ts"),
        rebase: () => import("./rebase.ts"),
        fallback: () => import("./fallback.ts"),
        rollout: () => import("./rollout.ts"),
      },
    },
    {
      title: "look",
      verbs: {
        ls: () => import("./ls.ts"),
        ps: () => import("./ps.ts"),
        inspect: () => import("./inspect.ts"),
        diff: () => import("./diff.ts"),
        df: () => import("./df.ts"),
        config: () => import("./config.ts"),
        doctor: () => import("./doctor.ts"),
        completion: () => import("./completion.ts"),
      },
    },
    {
      title: "run",
      verbs: {
        run: () => import("./run.ts"),
        bundle: () => import("./bundle.ts"),
        unshare: () => import("./unshare.ts"),
      },
    },
    {
      title: "keep tidy",
      verbs: {
        gc: () => import("./gc.ts"),
      },
    },
    {
      title: "for engines",
      verbs: {
        hook: () => import("./hook.ts"),
        runtime: () => import("./runtime.ts"),
        setup: () => import("./setup.ts"),
        unsetup: () => import("./unsetup.ts"),
      },
    },
  ];

export function verbNames(): string[] {
  return GROUPS.flatMap(({ verbs }) => Object.keys(verbs));
}

/** Whether it is the first word of verbs, as `base` is, and none by itself. */
export function isGroup(word: string): boolean {
  return verbNames().some((name) => name.startsWith(`${word} `));
}

/** The descriptions of all commands, in the order of help. */
export async function loadCommands(): Promise<Command[]> {
  const loaded = await Promise.all(GROUPS.flatMap(({ verbs }) => Object.values(verbs).map((load) => load())));
  return loaded.map(({ command }) => command);
}

/** Called by veneer itself: in no help. */
const INTERNAL: Readonly<Record<string, Loader>> = {
  "internal complete": () => import("./internal-complete.ts"),
  "internal doctor": () => import("./internal-doctor.ts"),
  "internal sum-files": () => import("./internal-sum-files.ts"),
  "internal merge": () => import("./internal-merge.ts"),
  "internal recover": () => import("./internal-recover.ts"),
  "internal enter-session": () => import("./internal-enter-session.ts"),
};

export function findVerb(name: string): Loader | undefined {
  for (const verbs of [...GROUPS.map((group) => group.verbs), INTERNAL]) {
    if (Object.hasOwn(verbs, name)) return verbs[name];
  }
  return undefined;
}
