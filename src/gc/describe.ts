/** What a step of gc frees, as users see it. */
import { readLayer } from "../store/layers.ts";
import { paths, type Store } from "../store/paths.ts";
import type { GarbageKind, GcStep } from "./plan.ts";

export interface Freed {
  readonly kind: GarbageKind;
  /** a path, or the name of a record */
  readonly what: string;
  /** on disk */
  readonly bytes: number;
}

/** The directory that a step moves to the trash. */
export function pathOf(store: Store, step: GcStep): string | undefined {
  switch (step.kind) {
    case "ephemeral upper":
      return paths.ephemeral(store, step.id);
    case "instance":
      return paths.instance(store, step.id);
    case "generation":
      return `${paths.instance(store, step.instance)}/${step.generation}`;
    case "staging":
      return step.path;
    case "layer":
      return paths.layer(store, step.id);
    case "trash":
      return `${paths.trash(store)}/${step.name}`;
    case "session":
      return paths.session(store, step.base);
    case "record":
      return "record" in step && step.record.ephemeral !== undefined
        ? paths.ephemeral(store, step.record.ephemeral)
        : undefined;
    default:
      return undefined;
  }
}

/** `sizes`: bytes on disk by path, where they are known. */
export function describe(store: Store, step: GcStep, sizes: ReadonlyMap<string, number>): Freed {
  const path = pathOf(store, step);
  const known = step.kind === "layer" ? readLayer(store, step.id)?.bytes : undefined;
  const bytes = (path === undefined ? undefined : sizes.get(path)) ?? known ?? 0;
  return { kind: step.kind, what: nameOf(store, step), bytes };
}

function nameOf(store: Store, step: GcStep): string {
  switch (step.kind) {
    case "record":
      return "record" in step ? step.record.key : step.empty;
    case "manifest":
      return `${step.base}@${step.version}`;
    case "mount":
      return step.target;
    case "file":
      return step.path;
    case "parts":
      return paths.instance(store, step.id);
    case "user namespace":
      return `${paths.namespaces(store)}/${step.name}`;
    default:
      return pathOf(store, step) as string;
  }
}
