/** Everything known about an instance or container, as one document. */
import { formatError } from "../errors.ts";
import { layerPaths, readVersion } from "../store/bases.ts";
import { type Parts, partDirectories, partUppers } from "../store/frozen-uppers.ts";
import type { Generation } from "../store/instances.ts";
import { lxcConfigOf } from "../store/lxc-mount.ts";
import { paths, type Store } from "../store/paths.ts";
import type { UseRecord } from "../store/records.ts";
import { listRunning, withProcesses } from "./running.ts";
import { type InstanceView, ownBytes, viewInstance } from "./view.ts";

/** Undefined when there is no such instance. */
export function inspectInstance(store: Store, id: string): object | undefined {
  const view = viewInstance(store, id);
  if (!view) return undefined;
  const { instance, error } = view;
  if (!instance) return { id, state: view.state, error, ...holderOf(view) };
  const bytes = ownBytes(store, id, instance);
  const describe = (generation: Generation) => ({
    generation: generation.generation,
    base: generation.base,
    version: generation.version,
    digest: generation.digest,
    previous: generation.previous,
    since: generation.since,
    bytes: bytes.get(generation.generation),
    ...uppersOf(paths.generation(store, id, generation.generation), generation),
  });
  const all = [instance, ...(instance.kept ?? [])].sort((a, b) => a.generation - b.generation);
  return {
    id,
    state: view.state,
    base: instance.base,
    version: instance.version,
    digest: instance.digest,
    generation: instance.generation,
    created: instance.created,
    owner: instance.owner,
    maker: instance.maker,
    opaque: instance.opaque,
    mask: instance.mask,
    tmpfs: instance.tmpfs,
    mounted: instance.mounted,
    lxc: lxcConfigOf(store, id),
    ...ownUpper(store, id, instance),
    layers: layersOf(store, instance),
    generations: all.map(describe),
    ...holderOf(view),
  };
}

function ownUpper(store: Store, id: string, instance: Generation & { tmpfs?: number }): object {
  if (instance.tmpfs !== undefined) return {};
  const directory = paths.generation(store, id, instance.generation);
  const [top] = partDirectories(directory, instance);
  return { ...uppersOf(directory, instance), work: `${top}/work` };
}

/** The upper that is written to, and the read-only parts that live rebases left below it, top first. */
function uppersOf(directory: string, parts: Parts): object {
  const [upper, ...lower] = partUppers(directory, parts);
  return { upper, ...(lower.length > 0 && { parts: lower }) };
}

function layersOf(store: Store, { base: name, version }: Generation): string[] | string {
  try {
    return layerPaths(store, readVersion(store, { name, version }).manifest);
  } catch (error) {
    return formatError(error);
  }
}

function holderOf(view: InstanceView): object {
  const [running] = view.holder ? withProcesses([view.holder]) : [];
  return running ? { holder: { ...describeRecord(running.record), pid: running.pid } } : {};
}

function describeRecord(record: UseRecord): object {
  const { engine, container, bundle, placement, target, source, idmap, shifted, created } = record;
  return { engine, container, bundle, placement, target, source, idmap, shifted, since: created };
}

/** Describes a running container by its own name, for names that no instance has; undefined when there is none. */
export function inspectContainer(store: Store, container: string): object | undefined {
  const running = listRunning(store).find(({ record }) => record.container === container);
  if (!running) return undefined;
  const { record, pid } = running;
  return {
    container,
    state: "running",
    instance: record.instance,
    base: record.base,
    version: record.version,
    tmpfs: record.tmpfs,
    ...(record.ephemeral === undefined || record.tmpfs
      ? { upper: record.upper }
      : uppersOf(paths.ephemeral(store, record.ephemeral), record)),
    layers: layersOf(store, { ...record, digest: "", generation: 1 }),
    holder: { ...describeRecord(record), pid },
  };
}
