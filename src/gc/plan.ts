/** What `gc` frees. Pure: what is there and what is needed in, steps out. */
import type { UseRecord } from "../store/records.ts";
import { mapName } from "../userns/id-map.ts";

export type GarbageKind =
  | "record"
  | "instance"
  | "ephemeral upper"
  | "generation"
  | "parts"
  | "staging"
  | "layer"
  | "manifest"
  | "session"
  | "bundle"
  | "mount"
  | "file"
  | "user namespace"
  | "trash";

export interface GcFacts {
  readonly records: readonly { readonly record: UseRecord; readonly live: boolean }[];
  /** records whose user said that it is gone, by key */
  readonly emptyRecords: readonly string[];
  /** keys of kept configurations, listed before the records */
  readonly configs: readonly string[];
  /** directories of ephemeral uppers, listed before the records */
  readonly ephemerals: readonly { readonly id: string; readonly mounted: boolean }[];
  /** staging directories that nobody holds */
  readonly staging: readonly string[];
  readonly layers: readonly string[];
  /** ids that a manifest or a session names; undefined: not known, so that none may go */
  readonly neededLayers: ReadonlySet<string> | undefined;
  /** published in part: base and number */
  readonly manifests: readonly { readonly base: string; readonly version: number }[];
  /** directories of generations that their instance does not know */
  /** ids of instances whose engine's container is gone */
  readonly orphans: readonly string[];
  /** ids of instances that do not run and whose uppers have parts, which live rebases left */
  readonly parts: readonly string[];
  readonly generations: readonly { readonly instance: string; readonly generation: string }[];
  /** overlays mounted below --run, listed before the records */
  readonly mounts: readonly string[];
  /** bases with a session whose command was killed, or whose commit was when all was published */
  readonly sessions: readonly string[];
  /** mount points that a session of `base edit` owns */
  readonly sessionMounts: ReadonlySet<string>;
  /** files that a killed writer left beside a document */
  readonly files: readonly string[];
  /** user namespaces that are kept for their maps, by name */
  readonly namespaces: readonly string[];
  /** names in the trash */
  readonly trash: readonly string[];
}

export type GcStep =
  | { readonly kind: "record"; readonly record: UseRecord }
  | { readonly kind: "record"; readonly empty: string }
  | { readonly kind: "ephemeral upper"; readonly id: string }
  | { readonly kind: "instance"; readonly id: string }
  | { readonly kind: "parts"; readonly id: string }
  | { readonly kind: "generation"; readonly instance: string; readonly generation: string }
  | { readonly kind: "staging"; readonly path: string }
  | { readonly kind: "layer"; readonly id: string }
  | { readonly kind: "manifest"; readonly base: string; readonly version: number }
  | { readonly kind: "session"; readonly base: string }
  | { readonly kind: "mount"; readonly target: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "user namespace"; readonly name: string }
  | { readonly kind: "trash"; readonly name: string };

/** In the order in which they are carried out: what is used by the later ones' owners goes first. */
export function planGc(facts: GcFacts): GcStep[] {
  const steps: GcStep[] = [];
  const keys = new Set<string>();
  const uppers = new Set<string>();
  const targets = new Set<string>(facts.sessionMounts);
  const maps = new Set<string>();
  for (const { record, live } of facts.records) {
    keys.add(record.key);
    if (record.target !== undefined) targets.add(record.target);
    if (record.ephemeral !== undefined) uppers.add(record.ephemeral);
    if (!live) steps.push({ kind: "record", record });
    else {
      const { uids, gids } = record.idmap ?? record.shifted ?? {};
      if (uids && gids) maps.add(mapName({ uids, gids }) ?? "");
    }
  }
  for (const key of facts.emptyRecords) {
    keys.add(key);
    steps.push({ kind: "record", empty: key });
  }
  for (const target of facts.mounts) if (!targets.has(target)) steps.push({ kind: "mount", target });
  for (const { id, mounted } of facts.ephemerals) {
    if (!mounted && !uppers.has(id)) steps.push({ kind: "ephemeral upper", id });
  }
  for (const id of facts.orphans) steps.push({ kind: "instance", id });
  for (const generation of facts.generations) steps.push({ kind: "generation", ...generation });
  for (const id of facts.parts) if (!facts.orphans.includes(id)) steps.push({ kind: "parts", id });
  for (const path of facts.staging) steps.push({ kind: "staging", path });
  for (const manifest of facts.manifests) steps.push({ kind: "manifest", ...manifest });
  for (const base of facts.sessions) steps.push({ kind: "session", base });
  for (const id of facts.neededLayers ? facts.layers : []) {
    if (!facts.neededLayers?.has(id)) steps.push({ kind: "layer", id });
  }
  for (const path of facts.files) steps.push({ kind: "file", path });
  for (const key of facts.configs) if (!keys.has(key)) steps.push({ kind: "record", empty: key });
  for (const name of facts.namespaces) if (!maps.has(name)) steps.push({ kind: "user namespace", name });
  for (const name of facts.trash) steps.push({ kind: "trash", name });
  return steps;
}
