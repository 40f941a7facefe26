/** What becomes of an instance's definition. Pure: a definition and a wish in, a definition out. */
import { VeneerError } from "../errors.ts";
import type { Generation, Instance } from "../store/instances.ts";

/** The version that a generation stands on. */
export type Ground = Pick<Generation, "base" | "version" | "digest">;

function generationOf(instance: Instance): Generation {
  const { base, version, digest, generation, previous, since, parts, folded } = instance;
  return {
    base,
    version,
    digest,
    generation,
    ...(previous !== undefined && { previous }),
    ...(parts !== undefined && { parts }),
    ...(folded !== undefined && { folded }),
    since: since ?? instance.created,
  };
}

function withGeneration(instance: Instance, next: Generation, kept: readonly Generation[]): Instance {
  const {
    previous: _previous,
    since: _since,
    kept: _kept,
    parts: _parts,
    folded: _folded,
    ...rest
  } = instance;
  const sorted = [...kept].sort((a, b) => a.generation - b.generation);
  return { ...rest, ...next, ...(sorted.length > 0 && { kept: sorted }) };
}

/**
 * A fresh generation on another version, the one that was prepared there if there is one; the one in use is kept. `now`
 * is ISO 8601.
 */
export function cutOver(instance: Instance, ground: Ground, now: string): Instance {
  const { prepared: _, ...next } = findPrepared(instance, ground) ?? newGeneration(instance, ground, now);
  const others = (instance.kept ?? []).filter(({ generation }) => generation !== next.generation);
  return withGeneration(instance, { ...next, previous: instance.generation }, [
    ...others,
    generationOf(instance),
  ]);
}

/** The generation that waits for a cutover onto this very version. */
export function findPrepared(instance: Instance, { base, version, digest }: Ground): Generation | undefined {
  return instance.kept?.find(
    (one) => one.prepared && one.base === base && one.version === version && one.digest === digest,
  );
}

/** With one more generation, of this number, that waits for a cutover; the one in use stays in use. */
export function prepare(
  instance: Instance,
  ground: Ground,
  now: string,
): { instance: Instance; generation: number } {
  const next = { ...newGeneration(instance, ground, now), prepared: true };
  const kept = [...(instance.kept ?? []), next];
  return { instance: withGeneration(instance, generationOf(instance), kept), generation: next.generation };
}

function newGeneration(instance: Instance, { base, version, digest }: Ground, now: string): Generation {
  const numbers = [instance, ...(instance.kept ?? [])].map((one) => one.generation);
  return { base, version, digest, generation: Math.max(...numbers) + 1, since: now };
}

/**
 * Back to the generation that the one in use took the place of, or to `wanted`; the one in use is kept.
 * Throws where there is none.
 */
export function fallBack(id: string, instance: Instance, wanted?: number): Instance {
  const kept = instance.kept ?? [];
  const number = wanted ?? instance.previous;
  const target = kept.find((one) => one.generation === number);
  if (!target) throw noGeneration(id, instance, wanted);
  const { prepared, ...next } = target;
  const previous = prepared ? { previous: instance.generation } : {};
  return withGeneration(instance, { ...next, ...previous }, [
    ...kept.filter((one) => one !== target),
    generationOf(instance),
  ]);
}

function noGeneration(id: string, instance: Instance, wanted: number | undefined): VeneerError {
  const kept = (instance.kept ?? []).map((one) => one.generation);
  const what =
    wanted === undefined
      ? `instance ${id} has no generation before ${instance.generation}`
      : `instance ${id} keeps no generation ${wanted}`;
  const hint =
    kept.length === 0
      ? "'veneer cutover' makes the next generation and keeps this one"
      : `it keeps ${kept.join(", ")}: 'veneer fallback ${id} --to ${kept.at(-1)}'`;
  return new VeneerError("NO_GENERATION", what, { hint });
}

/** Forgets a generation that is kept; a fallback to it then leads further back. Throws where there is none. */
export function dropGeneration(id: string, instance: Instance, number: number): Instance {
  if (number === instance.generation) {
    throw new VeneerError("IN_USE", `generation ${number} is the one that instance ${id} uses`, {
      hint: `'veneer rm ${id}' removes the instance, 'veneer fallback ${id}' returns to another`,
    });
  }
  const kept = instance.kept ?? [];
  const dropped = kept.find((one) => one.generation === number);
  if (!dropped) throw noGeneration(id, instance, number);
  const relink = (one: Generation): Generation => {
    if (one.previous !== number) return one;
    const { previous: _, ...rest } = one;
    return dropped.previous === undefined ? rest : { ...rest, previous: dropped.previous };
  };
  const others = kept.filter((one) => one !== dropped).map(relink);
  return withGeneration(instance, relink(generationOf(instance)), others);
}

/** One generation with its parts merged into one. */
export function withoutParts(instance: Instance, number: number): Instance {
  return changeGeneration(instance, number, ({ parts: _parts, folded: _folded, ...rest }) => rest);
}

/** One generation with all its parts in use. */
export function unfolded(instance: Instance, number: number): Instance {
  return changeGeneration(instance, number, ({ folded: _folded, ...rest }) => rest);
}

function changeGeneration(
  instance: Instance,
  number: number,
  change: (generation: Generation) => Generation,
): Instance {
  const changed = (one: Generation) => (one.generation === number ? change(one) : one);
  return withGeneration(instance, changed(generationOf(instance)), (instance.kept ?? []).map(changed));
}

/** The same generation on another version. */
export function rebased(instance: Instance, { base, version, digest }: Ground): Instance {
  return withGeneration(instance, { ...generationOf(instance), base, version, digest }, instance.kept ?? []);
}

/** The same generation on another version, with a further part that is written to. */
export function onPart(instance: Instance, { base, version, digest }: Ground, part: number): Instance {
  const next = { ...generationOf(instance), base, version, digest, parts: part };
  return withGeneration(instance, next, instance.kept ?? []);
}
