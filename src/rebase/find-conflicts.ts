/** Finds where the changes of an instance or a container hide what another version brings. */
import { type LiveTarget, uppersOf } from "../live/rebase.ts";
import { readVersion } from "../store/bases.ts";
import { partUppers } from "../store/frozen-uppers.ts";
import { checkInstanceDigest, type Generation } from "../store/instances.ts";
import { freshUpper, openLayers } from "../store/open-layers.ts";
import type { Store } from "../store/paths.ts";
import type { Fd } from "../sys/fd.ts";
import { type Conflict, conflicts } from "./conflicts.ts";
import { rebaseFacts } from "./facts.ts";

/** `after`: the layers of the other version. Nothing is mounted or changed. */
export function findConflicts(
  store: Store,
  id: string,
  target: Partial<LiveTarget>,
  after: readonly Fd[],
): Conflict[] {
  const { instance, record } = target;
  const definition = instance?.definition;
  const { base: name, version } = (definition ?? record) as BaseOf;
  const ground = readVersion(store, { name, version });
  if (definition) checkInstanceDigest(id, definition, ground);
  if (definition?.tmpfs !== undefined || (!definition && record?.tmpfs)) return [];
  using before = openLayers(store, ground);
  const { directory, parts } = uppersOf(store, target as LiveTarget);
  const fresh = definition ? freshUpper(after, definition).entries : [];
  return conflicts(rebaseFacts(partUppers(directory, parts), before.fds, after, fresh));
}

type BaseOf = Pick<Generation, "base" | "version">;
