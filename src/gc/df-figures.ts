/** What bases and instances take, and what full copies would. Pure: sizes in, rows out. All in bytes. */

export interface DfFacts {
  /** of each layer: an id of the store, or the path of a directory in place */
  readonly layers: ReadonlyMap<
    string,
    {
      readonly bytes: number;
      readonly inPlace: boolean;
      /** of its files that are files of other layers too, which `bytes` leaves out */
      readonly saved: number;
    }
  >;
  readonly versions: readonly {
    readonly base: string;
    readonly version: number;
    readonly layers: readonly string[];
    /** of its layers merged: without what upper ones hide */
    readonly merged: number;
  }[];
  readonly uppers: readonly {
    readonly kind: "instance" | "container";
    readonly id: string;
    readonly base: string;
    readonly version: number;
    /** all generations; undefined when they could not be read */
    readonly bytes: number | undefined;
    /** of the generation in use */
    readonly own: number;
    /** of the version, which the generation in use hides */
    readonly hidden: number;
  }[];
}

export interface BaseRow {
  readonly base: string;
  readonly versions: number;
  /** of its layers, each once */
  readonly bytes: number;
  /** of those that other bases have too */
  readonly shared: number;
  /** of files of its layers that are stored once with those of other layers, and that `bytes` leaves out */
  readonly saved: number;
  /** of those that are directories in place, which the store does not hold */
  readonly inPlace: number;
  /** instances and containers */
  readonly users: number;
}

export interface UpperRow {
  readonly kind: "instance" | "container";
  readonly id: string;
  readonly base: string;
  readonly version: number;
  readonly bytes: number | null;
  /** a full copy of the version with these changes */
  readonly copy: number;
}

export interface Df {
  readonly bases: readonly BaseRow[];
  readonly instances: readonly UpperRow[];
  readonly total: {
    /** layers of the store and uppers, each once */
    readonly bytes: number;
    /** layers, those in place too, and uppers, each once */
    readonly withInPlace: number;
    /** what it would be more if each layer had its own files */
    readonly saved: number;
    /** of every instance and container as a full copy */
    readonly copies: number;
  };
}

export function diskFree({ layers, versions, uppers }: DfFacts): Df {
  const size = (id: string) => layers.get(id)?.bytes ?? 0;
  const sum = (ids: Iterable<string>) => [...ids].reduce((total, id) => total + size(id), 0);
  const saved = (ids: Iterable<string>) =>
    [...ids].reduce((total, id) => total + (layers.get(id)?.saved ?? 0), 0);
  const inPlace = (id: string) => layers.get(id)?.inPlace === true;
  const byBase = new Map<string, Set<string>>();
  for (const { base, layers: ids } of versions) {
    byBase.set(base, new Set([...(byBase.get(base) ?? []), ...ids]));
  }
  const owners = (id: string) => [...byBase.values()].filter((ids) => ids.has(id)).length;
  const bases = [...byBase].map(([base, ids]) => ({
    base,
    versions: versions.filter((one) => one.base === base).length,
    bytes: sum(ids),
    shared: sum([...ids].filter((id) => owners(id) > 1)),
    saved: saved(ids),
    inPlace: sum([...ids].filter(inPlace)),
    users: uppers.filter((one) => one.base === base).length,
  }));
  const instances = uppers.map(({ own, hidden, ...one }): UpperRow => {
    const ground = versions.find(({ base, version }) => base === one.base && version === one.version);
    return { ...one, bytes: one.bytes ?? null, copy: (ground ? ground.merged - hidden : 0) + own };
  });
  const own = instances.reduce((total, row) => total + (row.bytes ?? 0), 0);
  const all = new Set(versions.flatMap((one) => one.layers));
  return {
    bases,
    instances,
    total: {
      bytes: sum([...all].filter((id) => !inPlace(id))) + own,
      withInPlace: sum(all) + own,
      saved: saved(all),
      copies: instances.reduce((total, row) => total + row.copy, 0),
    },
  };
}

/** A bar of `width` cells, filled by the share of `part` in `whole`: something shows as at least an eighth. */
export function bar(part: number, whole: number, width: number): string {
  const eighths = whole <= 0 ? 0 : Math.min(width * 8, Math.round((part / whole) * width * 8));
  const filled = part > 0 ? Math.max(eighths, 1) : 0;
  const rest = " ▏▎▍▌▋▊▉"[filled % 8] as string;
  return `${"█".repeat(Math.floor(filled / 8))}${filled % 8 === 0 ? "" : rest}`.padEnd(width, "·");
}
