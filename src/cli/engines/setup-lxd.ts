/** `setup` and `unsetup` for a profile of LXD or Incus. */
import { hookCommand } from "../../engines/lxc.ts";
import { lxcRoot } from "../../engines/lxc-root.ts";
import {
  checkProfileName,
  isKind,
  type ProfileName,
  planProfile,
  planProfileRemoval,
  removeFromProfile,
  writeProfile,
} from "../../engines/lxd.ts";
import { formatEdits } from "../../engines/setup.ts";
import { wordsOf } from "../../engines/upper-root.ts";
import { UsageError } from "../../errors.ts";
import { formatBaseRef, parseBaseRef } from "../../text/names.ts";
import type { Context, Input } from "../framework/command.ts";
import { readUpperOptions, UPPER_OPTIONS } from "../framework/upper-options.ts";
import { hookGlobals, setupRequest } from "./setup-common.ts";

export const isLxdKind = isKind;

/** Carries out `setup` for a profile. Throws UsageError for options that do not apply to one. */
export async function setupLxd(context: Context, input: Input): Promise<void> {
  const profile = profileOf(input, "setup");
  const { store } = context.settings;
  const { bin } = setupRequest(context, input);
  refuse(
    input,
    "--instance",
    "a profile is for many containers: --persistent gives each an instance of its name",
  );
  for (const name of ["--hookless", "--lxcpath"])
    refuse(input, name, "it is an option of 'veneer setup lxc NAME'");
  refuse(input, "--etc", "the profile is in the daemon's database");
  const given = input.value("--base");
  if (given === undefined)
    throw new UsageError(`no base is named for profile ${profile.name}`, "add --base BASE");
  const base = parseBaseRef(given);
  const options = UPPER_OPTIONS.some(({ name }) => input.has(name)) ? readUpperOptions(input) : {};
  lxcRoot(store, profile.name, { base, persistent: false });
  const words = ["--base", formatBaseRef(base), ...wordsOf(options)];
  if (input.has("--persistent")) words.push("--persistent", "--refuse-copies");
  const [hook, first] = [[], words].map((more) => hookCommand(bin, hookGlobals(context), more)) as [
    string,
    string,
  ];
  const edit = await planProfile(profile, hook, first, context.env);
  if (input.has("--dry-run")) {
    if (edit) context.out(formatEdits([edit]).trimEnd());
    return;
  }
  if (edit) await writeProfile(store, profile, edit, context.env);
  if (edit) context.out(edit.path);
  context.note(
    edit
      ? "now: nothing to restart: it counts from each container's next start"
      : `profile ${profile.name} is set up already`,
  );
  context.note(
    `then: ${profile.kind === "lxd" ? "lxc" : "incus"} launch IMAGE NAME -p default -p ${profile.name}`,
  );
}

/** Carries out `unsetup` for a profile. */
export async function unsetupLxd(context: Context, input: Input): Promise<void> {
  const profile = profileOf(input, "unsetup");
  const { store } = context.settings;
  const edit = await planProfileRemoval(store, profile, context.env);
  if (input.has("--dry-run")) {
    if (edit) context.out(formatEdits([edit]).trimEnd());
    return;
  }
  await removeFromProfile(store, profile, edit, context.env);
  if (edit) context.out(edit.path);
  context.note(
    edit
      ? "now: nothing to restart: it counts from each container's next start"
      : `profile ${profile.name} is not set up`,
  );
}

function refuse(input: Input, name: string, why: string): void {
  if (input.has(name)) throw new UsageError(`${name} does not go with ${input.operands[0]}`, why);
}

function profileOf(input: Input, verb: string): ProfileName {
  const [kind, name] = input.operands;
  if (!isKind(kind)) throw new UsageError(`${kind} has no profiles`);
  if (name !== undefined) return { kind, name: checkProfileName(name) };
  throw new UsageError(
    `${kind} needs the NAME of a profile`,
    `'veneer ${verb} ${kind} NAME${verb === "setup" ? " --base BASE" : ""}'`,
  );
}
