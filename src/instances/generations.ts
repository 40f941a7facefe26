/** Changes the generations in the definition of an instance: takes a definition and returns a new one. Pure. */
import { VeneerError } from "../errors.ts";
import type { Generation, Instance } from "../store/instances.ts";

/** The version that a generation uses. */
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
 * Switches to a fresh generation on another version, the prepared one when there is one; keeps the current generation.
 * `now` is ISO 8601.
 */
export function cutOver(instance: Instance, ground: Ground, now: string): Instance {
  const { prepared: _, ...next } = findPrepared(instance, ground) ?? newGeneration(instance, ground, now);
  const others = (instance.kept ?? []).filter(({ generation }) => generation !== next.generation);
  return withGeneration(instance, { ...next, previous: instance.generation }, [
    ...others,
    generationOf(instance),
  ]);
}

/** The generation that is prepared for a cutover to exactly this version. */
export function findPrepared(instance: Instance, { base, version, digest }: Ground): Generation | undefined {
  return instance.kept?.find(
    (one) => one.prepared && one.base === base && one.version === version && one.digest === digest,
  );
}

/** Adds a generation with this number that is prepared for a cutover; the current one stays current. */
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
 * Switches back to the generation before the current one, or to `wanted`; keeps the current one. Throws NO_GENERATION
 * when there is none.
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

/**
 * Removes a kept generation; a fallback that would lead to it leads to the one before. Throws NO_GENERATION when there
 * is none, IN_USE for the current one.
 */
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

/** Records that the parts of a generation were merged into one. */
export function withoutParts(instance: Instance, number: number): Instance {
  return changeGeneration(instance, number, ({ parts: _parts, folded: _folded, ...rest }) => rest);
}

/** Records that all parts of a generation are in use again, none folded. */
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

/** Moves the current generation to another version. */
export function rebased(instance: Instance, { base, version, digest }: Ground): Instance {
  return withGeneration(instance, { ...generationOf(instance), base, version, digest }, instance.kept ?? []);
}

/** Moves the current generation to another version, with `part` as the new top part, which is written to. */
export function onPart(instance: Instance, { base, version, digest }: Ground, part: number): Instance {
  const next = { ...generationOf(instance), base, version, digest, parts: part };
  return withGeneration(instance, next, instance.kept ?? []);
}
