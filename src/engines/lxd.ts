/** LXD and Incus: hooks in `raw.lxc` of a profile, which is read and written through the daemon's own client. */

import { UsageError } from "../errors.ts";
import { dropHooks, dropLines, setHook, setValue, valuesOf } from "../request/lxc-text.ts";
import type { Store } from "../store/paths.ts";
import { makeStore } from "../store/paths.ts";
import { readJournal, removeJournal, writeJournal } from "../store/setup-journal.ts";
import { quote } from "../text/quote.ts";
import { callClient } from "./client.ts";
import type { Edit } from "./setup.ts";

const CLIENTS = { lxd: "lxc", incus: "incus" } as const;

export type LxdKind = keyof typeof CLIENTS;

export const isKind = (word: string | undefined): word is LxdKind =>
  word !== undefined && Object.hasOwn(CLIENTS, word);

/** A profile of LXD or Incus. */
export interface ProfileName {
  readonly kind: LxdKind;
  readonly name: string;
}

/** Returns the name. Throws UsageError for what the client would take for a remote, an option or a path. */
export function checkProfileName(name: string): string {
  if (/^[A-Za-z0-9_.][^\s/:]*$/.test(name)) return name;
  throw new UsageError(`${quote(name)} is not a profile's name`);
}

interface Profile {
  readonly raw: string;
  readonly isUsed: boolean;
}

const journalOf = ({ kind, name }: ProfileName) => `${kind}-${name}`;
/** The path in the API, under which the journal keeps the profile. */
const pathOf = ({ name }: ProfileName) => `/1.0/profiles/${encodeURIComponent(name)}`;

/**
 * What `setup` would change; nothing when the profile is right already. `first` is the command of the hooks that mount
 * the root, `other` that of all other hooks.
 */
export async function planProfile(
  profile: ProfileName,
  other: string,
  first: string,
  env: NodeJS.ProcessEnv,
): Promise<Edit | undefined> {
  const before = (await readProfile(profile, env))?.raw ?? null;
  const after = withHooks(before ?? "", first, other);
  return after === before ? undefined : { path: pathOf(profile), before, after };
}

/** What `unsetup` would change; `after` is null when the profile is removed. */
export async function planProfileRemoval(
  store: Store,
  profile: ProfileName,
  env: NodeJS.ProcessEnv,
): Promise<Edit | undefined> {
  const found = await readProfile(profile, env);
  if (!found) return undefined;
  const [known] = readJournal(store, journalOf(profile)).files;
  const after = known?.after === found.raw ? known.before : withoutHooks(found.raw);
  if (after === found.raw) return undefined;
  return { path: pathOf(profile), before: found.raw, after: after === null && found.isUsed ? "" : after };
}

/** Idempotent. */
export async function writeProfile(
  store: Store,
  profile: ProfileName,
  { path, before, after }: Edit,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  makeStore(store);
  const [known] = readJournal(store, journalOf(profile)).files;
  const original = known ? (known.after === before ? known.before : withoutHooks(before ?? "")) : before;
  writeJournal(store, journalOf(profile), {
    files: [{ path, before: original, after: after as string }],
  });
  if (before === null) await call(profile, ["create", profile.name], env);
  await call(profile, ["set", profile.name, `raw.lxc=${after}`], env);
}

/** Idempotent. */
export async function removeFromProfile(
  store: Store,
  profile: ProfileName,
  edit: Edit | undefined,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  if (edit?.after === null) await call(profile, ["delete", profile.name], env);
  else if (edit?.after === "") await call(profile, ["unset", profile.name, "raw.lxc"], env);
  else if (edit) await call(profile, ["set", profile.name, `raw.lxc=${edit.after}`], env);
  removeJournal(store, journalOf(profile));
}

async function readProfile(profile: ProfileName, env: NodeJS.ProcessEnv): Promise<Profile | undefined> {
  const all = JSON.parse(await call(profile, ["list", "--format", "json"], env)) as readonly {
    readonly name: string;
    readonly config: Readonly<Record<string, string>> | null;
    readonly used_by?: readonly string[] | null;
  }[];
  const found = all.find(({ name }) => name === profile.name);
  return found && { raw: found.config?.["raw.lxc"] ?? "", isUsed: (found.used_by ?? []).length > 0 };
}

/**
 * Adds hooks for containers with and without a user namespace; each does nothing in a container of the other kind.
 * Removes LXD's idmapped root, with which LXC would bypass the overlay.
 */
function withHooks(text: string, first: string, other: string): string {
  const ours = [
    ["pre-start", first],
    ["pre-mount", first],
    ["start-host", other],
    ["post-stop", other],
  ] as const;
  const start = valuesOf(text, "rootfs.options").length === 0 ? setValue(text, "rootfs.options", "") : text;
  return ours.reduce((all, [type, command]) => setHook(all, type, command), start);
}

function withoutHooks(text: string): string {
  return dropLines(dropHooks(text), "rootfs.options", (value) => value === "");
}

function call({ kind }: ProfileName, words: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const client = CLIENTS[kind];
  // the value of a key is long, and no part of the error
  const what = `${client} profile ${words[0]}`;
  return callClient([client, "profile", ...words], env, {
    what,
    missing: `install ${kind}: its client is '${client}'`,
  });
}
