/** Bases, their versions, the instances on them and what runs, as one tree. */
import { VeneerError } from "../errors.ts";
import { readVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import { storeOfBase } from "../store/shared.ts";
import { namesOfBases } from "../store/shares.ts";
import { listVersions, readBaseFile } from "../store/versions.ts";
import { listRunning, type Running } from "./running.ts";
import { viewInstances } from "./view.ts";

export interface TreeUser {
  readonly kind: "instance" | "container" | "mount";
  readonly id: string;
  readonly state: string;
  readonly engine?: string;
  readonly pid?: number;
}

export interface TreeVersion {
  readonly version: number;
  readonly current: boolean;
  readonly failed: boolean;
  readonly created: string;
  readonly origin: string;
  readonly users: readonly TreeUser[];
}

export interface TreeBase {
  readonly base: string;
  readonly from?: { readonly name: string; readonly version: number };
  /** newest first */
  readonly versions: readonly TreeVersion[];
}

/** Leaves out bases that cannot be read, and calls `report` for each; those that are removed meanwhile are just left out. */
export function baseTree(store: Store, report: (base: string, error: unknown) => void): TreeBase[] {
  const running = listRunning(store);
  const instances = viewInstances(store);
  const named = new Set(instances.map(({ id }) => id));
  const usersOf = (base: string, version: number): TreeUser[] => [
    ...instances.flatMap(({ id, state, instance }): TreeUser[] => {
      if (instance?.base !== base || instance.version !== version) return [];
      const holder = running.find(({ record }) => record.instance === id);
      return [{ kind: "instance", id, state, ...(holder && about(holder)) }];
    }),
    ...running.flatMap((one): TreeUser[] => {
      const { record } = one;
      if (record.base !== base || record.version !== version) return [];
      if (record.instance !== undefined && named.has(record.instance)) return [];
      const kind = record.engine === "mount" ? "mount" : "container";
      return [{ kind, id: record.container ?? record.key, state: "running", ...about(one) }];
    }),
  ];
  return namesOfBases(store).flatMap((base) => {
    try {
      return [describe(store, base, usersOf)];
    } catch (error) {
      if (!(error instanceof VeneerError && error.code === "NO_BASE")) report(base, error);
      return [];
    }
  });
}

function about({ record, pid }: Running): Pick<TreeUser, "engine" | "pid"> {
  return { engine: record.engine, ...(pid !== undefined && { pid }) };
}

function describe(
  store: Store,
  base: string,
  usersOf: (base: string, version: number) => TreeUser[],
): TreeBase {
  const holder = storeOfBase(store, base);
  const file = readBaseFile(holder, base);
  const numbers = listVersions(holder, base).reverse();
  const versions = numbers.map((version): TreeVersion => {
    const { created, origin } = readVersion(store, { name: base, version }).manifest;
    return {
      version,
      current: version === file?.current,
      failed: file?.failed?.[version] !== undefined,
      created,
      origin,
      users: usersOf(base, version),
    };
  });
  const from = readVersion(store, { name: base, version: numbers[0] as number }).manifest.from;
  return { base, ...(from && { from }), versions };
}
