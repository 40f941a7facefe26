/** Layers of images made from a list of choices, by a grammar of tar entries: few names, so that they meet each other. */
import type { TarEntry } from "./image.ts";

/** How an entry is written: what tars of different programs do differently and mean the same by. */
export type Dialect = "plain" | "dot" | "gnu" | "pax";

export interface LayerEntry extends TarEntry {
  readonly dialect: Dialect;
  readonly xattr?: readonly [string, string];
}

/** What engines are known to disagree about is in a grammar of its own, and compared with those that agree. */
export interface Grammar {
  /**
   * Hard links to files of lower layers, entries below symbolic links, directories without an entry, an entry twice: umoci
   * takes them, podman does not, or makes something else of them.
   */
  readonly reaches: boolean;
}

export type Layer = readonly LayerEntry[];

const NAMES = ["a", "b", "c d", "é", "d"];
/** The name of directories alone: what a link leads to is no file. */
const DIRECTORY = "d";
/** The name of all symbolic links, and of nothing else: so they never lead to each other. */
const LINK = "l";
const LONG = "long-".repeat(30);
const DIALECTS: readonly Dialect[] = ["plain", "plain", "dot", "gnu", "pax"];

type Kind = "directory" | "file" | "link";

/** What the layers hold so far at a path, as far as the grammar has to know. */
type Tree = Map<string, Kind>;

/**
 * Layers, lowest first, of entries below the directory `top`. Each choice decides one thing; where they end, the first
 * alternative is taken: fewer and smaller choices are a simpler case, by which fast-check shrinks it.
 */
export function layersOf(choices: readonly number[], top: string, { reaches }: Grammar): Layer[] {
  let used = 0;
  const random: Random = (limit) => (choices[used++] ?? 0) % limit;
  const pick = <T>(all: readonly T[]) => all[random(all.length)] as T;
  const tree: Tree = new Map();
  const layers: Layer[] = [];
  /** the last entry of each path, by which a link to a file is written as the file is */
  const entries = new Map<string, LayerEntry>();
  const linked = new Set<string>();
  const count = 2 + random(3);
  for (let number = 0; number < count; number++) {
    const layer: LayerEntry[] = [];
    const made: Tree = new Map();
    const gone = new Set<string>();
    const entered = new Set<string>();
    const known = (path: string) => made.get(path) ?? tree.get(path);
    const add = (shape: LayerEntry, kind: Kind) => {
      layer.push(shape);
      entries.set(shape.name, shape);
      entered.add(shape.name);
      made.set(shape.name, kind);
    };
    const directory = (path: string) => {
      const before = entries.get(path);
      add(before?.type === "5" ? before : entry(random, { name: path, type: "5" }), "directory");
    };
    // as builders do, or without entries of their own where no two engines have to agree
    const enter = (parents: readonly string[]) => {
      for (const path of parents) {
        if (!reaches && !entered.has(path)) directory(path);
        else if (!known(path)) made.set(path, "directory");
      }
    };
    if (number === 0) directory(top);
    const size = 1 + random(10);
    for (let tries = 0; layer.length < size && tries < 60; tries++) {
      const parts = Array.from({ length: 1 + random(3) }, () => pick([...NAMES, ...NAMES, LINK, LONG]));
      // what is reached through a link has names of its own, so that it is nothing else's
      const through = parts.indexOf(LINK);
      if (through >= 0)
        parts.splice(
          through + 1,
          parts.length,
          ...parts.slice(through + 1, through + 2).map(() => `via${random(2)}`),
        );
      const path = [top, ...parts].join("/");
      const parents = parts.map((_, depth) => [top, ...parts.slice(0, depth)].join("/"));
      const link = parents.some((one) => known(one) === "link");
      // nothing but a link is ever under its name
      if (parts.slice(0, -1).includes(LINK) && !link) continue;
      const closed = parents.some(
        (one) => known(one) === "file" || gone.has(one) || (known(one) === "link" && gone.has(behind(one))),
      );
      if (closed || gone.has(path) || (!reaches && (link || entered.has(path)))) continue;
      const kind = random(12);
      const isBelow = (one: string) =>
        one.startsWith(`${path}/`) || (one.includes(`/${LINK}/`) && behind(one) === path);
      const below = [...made.keys()].some(isBelow);
      // what a marker takes away is there, and nothing of the layer is at or below it
      const takes = !link && !below && !made.has(path) && tree.has(path);
      if (kind === 0 && takes) {
        enter(parents);
        layer.push(entry(random, { name: `${parents.at(-1)}/.wh.${parts.at(-1)}` }));
        gone.add(path);
      } else if (kind === 1 && takes && known(path) === "directory") {
        // behind the directory's own entry, before what is in it
        enter(parents);
        directory(path);
        layer.push(entry(random, { name: `${path}/.wh..wh..opq` }));
        for (const one of tree.keys()) if (one.startsWith(`${path}/`)) tree.delete(one);
      } else {
        // a file of a lower layer is copied up: its names there stay those of another
        const isGone = (one: string) => [...gone].some((top) => one === top || one.startsWith(`${top}/`));
        const lower = [...tree].filter(
          ([one]) => reaches && !made.has(one) && !linked.has(one) && !isGone(one),
        );
        const [next, shape] = shapeOf(random, kind, path, [
          ...[...made].filter(([one]) => !one.includes(`/${LINK}/`)),
          ...lower,
        ]);
        if (!shape || (next !== "directory" && (below || known(path) === "directory"))) continue;
        if (next === "directory" && known(path) === "link") continue;
        enter(parents);
        if (shape.type === "1") for (const one of [path, shape.link as string]) linked.add(one);
        add(likeTarget(entry(random, { name: path, ...shape }), entries), next);
      }
    }
    for (const one of gone)
      for (const path of [...tree.keys()]) if (path === one || path.startsWith(`${one}/`)) tree.delete(path);
    for (const [path, kind] of made) tree.set(path, kind);
    layers.push(layer);
  }
  return layers;
}

/** The directory that a link on this path may lead to. */
function behind(path: string): string {
  return path.replace(new RegExp(`/${LINK}(/.*)?$`), `/${DIRECTORY}`);
}

/** A tar says the same of each name of a file: engines differ in what counts where it does not. */
function likeTarget(one: LayerEntry, entries: ReadonlyMap<string, LayerEntry>): LayerEntry {
  const target = one.type === "1" ? entries.get(one.link ?? "") : undefined;
  if (!target) return one;
  const { mode, uid, mtime, dialect } = target;
  return {
    ...one,
    ...(mode !== undefined && { mode }),
    ...(uid !== undefined && { uid }),
    ...(mtime !== undefined && { mtime }),
    dialect,
  };
}

type Random = (limit: number) => number;

function shapeOf(
  random: Random,
  kind: number,
  path: string,
  targets: readonly (readonly [string, Kind])[],
): [Kind, Partial<TarEntry>?] {
  if (path.endsWith(`/${LINK}`))
    return ["link", { type: "2", link: [DIRECTORY, `./${DIRECTORY}`, "none"][random(3)] as string }];
  if (kind < 5 || path.endsWith(`/${DIRECTORY}`))
    return ["directory", { type: "5", mode: [0o755, 0o700, 0o1777, 0o2755][random(4)] as number }];
  if (kind < 9)
    return ["file", { data: "x".repeat([0, 1, 511, 512, 513, 9000][random(6)] as number) + random(9) }];
  if (kind === 9) {
    const files = targets.filter(([one, what]) => what === "file" && one !== path);
    const target = files[random(Math.max(files.length, 1))];
    return target ? ["file", { type: "1", link: target[0] }] : ["file"];
  }
  return ["file", random(2) === 0 ? { type: "6" } : { type: "3" }];
}

function entry(random: Random, shape: TarEntry): LayerEntry {
  const isPlain = shape.type === undefined || shape.type === "5";
  return {
    uid: random(3) * 1000,
    mtime: 1_000_000_000 + random(1e8),
    mode: shape.type === "5" ? 0o755 : ([0o644, 0o600, 0o4755, 0o444][random(4)] as number),
    ...shape,
    dialect: DIALECTS[random(DIALECTS.length)] as Dialect,
    ...(isPlain &&
      !/\.wh\./.test(shape.name) &&
      random(6) === 0 && { xattr: [`user.k${random(2)}`, `v${random(9)}`] as const }),
  };
}

const BLOCK = 512;

/** The bytes of a layer's tar. */
export function bytesOf(layer: Layer): Buffer {
  return Buffer.concat([...layer.flatMap(blocksOf), Buffer.alloc(2 * BLOCK)]);
}

function blocksOf(one: LayerEntry): Buffer[] {
  const slash = one.type === "5" && one.dialect !== "gnu" ? "/" : "";
  const name = `${one.dialect === "dot" ? "./" : ""}${one.name}${slash}`;
  const link = one.link ?? "";
  const bytes = Buffer.byteLength;
  const data = Buffer.from(one.data ?? "");
  const blocks: Buffer[] = [];
  const records: [string, string][] = [];
  const wide = bytes(name) > 100 || bytes(link) > 100;
  if (one.xattr) records.push([`SCHILY.xattr.${one.xattr[0]}`, one.xattr[1]]);
  if (one.dialect === "pax" || (wide && one.dialect !== "gnu")) {
    records.push(["path", name]);
    if (one.dialect === "pax") records.push(["mtime", `${one.mtime ?? 0}.25`]);
    if (link) records.push(["linkpath", link]);
  }
  if (one.dialect === "gnu" && bytes(name) > 100)
    blocks.push(header("././@LongLink", "L", bytes(name) + 1, {}), padded(Buffer.from(`${name}\0`)));
  if (one.dialect === "gnu" && bytes(link) > 100)
    blocks.push(header("././@LongLink", "K", bytes(link) + 1, {}), padded(Buffer.from(`${link}\0`)));
  if (records.length > 0) {
    const text = Buffer.from(records.map(record).join(""));
    blocks.push(header("PaxHeaders/x", "x", text.length, {}), padded(text));
  }
  blocks.push(header(name, one.type ?? "0", data.length, one), padded(data));
  return blocks;
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself (pax(1)). */
export function record([key, value]: [string, string]): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest;
  while (length !== rest + String(length).length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}

function header(
  name: string,
  type: string,
  size: number,
  { mode = 0o644, uid = 0, mtime = 0, link = "" }: Partial<TarEntry>,
): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    block.write(value.toString(8).padStart(length - 1, "0"), at, "latin1");
  Buffer.from(name).copy(block, 0, 0, 100);
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(uid, 116, 8);
  octal(size, 124, 12);
  octal(mtime, 136, 12);
  block.write(type, 156);
  Buffer.from(link).copy(block, 157, 0, 100);
  block.write("ustar\x0000", 257, "latin1");
  octal(1, 329, 8);
  octal(3, 337, 8);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
