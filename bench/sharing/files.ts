/** What ten bases that nobody stacked on each other take on disk and in the page cache, against one. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeTree } from "../../test/helpers/tree.ts";
import { type Setting, VENEER } from "../context.ts";
import { reasonOf } from "../measure.ts";
import type { Report, Row } from "../table.ts";
import { ENGINES, measureEngine } from "./engines.ts";

const BASES = 10;
const FILES = 1200;
/** Of a hundred files, those that each system has for itself. */
const OWN = 5;
/** What each container reads. */
const READ = ["/bin/sh", "-c", "find /usr -type f -exec cat {} + >/dev/null"];

export async function benchSharing(setting: Setting, _runs: number, quick: boolean): Promise<Report> {
  const dir = join(setting.dir, "sharing");
  mkdirSync(dir);
  try {
    const count = quick ? 3 : BASES;
    const systems = Array.from({ length: count }, (_, index) =>
      plantSystem(join(dir, `system${index}`), index),
    );
    const one = measure(dir, "one", systems.slice(0, 1), count, true);
    const shared = measure(dir, "shared", systems, 1, true);
    const apart = measure(dir, "apart", systems, 1, false);
    const ratio = (what: string, of: number, against: number, goal?: number): Row => ({
      what,
      ratio: of / against,
      ...(goal !== undefined && { goal }),
    });
    const each = `of ${count} bases`;
    const engines: Row[] = [];
    for (const engine of ENGINES) {
      const name = `${count} images of ${engine.name}`;
      try {
        const against = await measureEngine(engine, dir, systems, READ, cacheOf);
        engines.push(ratio(`disk ${each}, against ${name}`, shared.disk, against.disk, 1 / 2));
        engines.push(ratio(`page cache ${each}, against ${name}`, shared.cache, against.cache, 1 / 2));
      } catch (error) {
        engines.push({ what: `${each}, against ${name}`, skipped: reasonOf(error) });
      }
    }
    return {
      title: "One file in many layers",
      rows: [
        ratio(`disk ${each}, against one base`, shared.disk, one.disk, 1 + (count * 2 * OWN) / 100),
        ratio(`the same with "shareFiles": false`, apart.disk, one.disk),
        ratio(
          `page cache ${each}, a container on each, against ${count} on one`,
          shared.cache,
          one.cache,
          1 + (count * 2 * OWN) / 100,
        ),
        ratio(`the same with "shareFiles": false`, apart.cache, one.cache),
        ...engines,
      ],
      results: [],
      notes: [
        `each system has ${FILES} files of 4 to 192 kB below /usr, ${OWN} % of them its own; each container reads all of them`,
        `one base: ${mega(one.disk)} on disk, ${mega(one.cache)} in the page cache`,
      ],
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const mega = (bytes: number) => `${Math.round(bytes / 1e6)} MB`;

/** Imports the systems into a store of their own and runs `containers` on each base; bytes. */
function measure(dir: string, name: string, systems: readonly string[], containers: number, share: boolean) {
  const config = join(dir, `${name}.json`);
  writeFileSync(config, JSON.stringify({ shareFiles: share }));
  const root = join(dir, name);
  const options = ["--root", root, "--run", join(dir, `${name}-run`), "--config", config];
  for (const [index, system] of systems.entries()) {
    execFileSync(VENEER, [...options, "base", "import", `b${index}`, system], { stdio: "ignore" });
  }
  const disk = Number(
    execFileSync("du", ["-sxB1", join(root, "layers")], { encoding: "utf8" }).split("\t")[0],
  );
  const run = (index: number, words: readonly string[]) =>
    execFileSync(VENEER, [...options, "run", `b${index}`, "--network", "none", "--", ...words], {
      stdio: "ignore",
    });
  const readAll = () => {
    for (const index of systems.keys()) for (let count = 0; count < containers; count++) run(index, READ);
  };
  const cache = cacheOf(readAll, () => run(0, ["/bin/true"]));
  rmSync(root, { recursive: true });
  return { disk, cache };
}

/** What an action brings into the page cache, beside what `warm` has brought there: the programs; bytes. */
function cacheOf(action: () => void, warm: () => void): number {
  execFileSync("sync");
  writeFileSync("/proc/sys/vm/drop_caches", "3");
  warm();
  const before = cached();
  action();
  return cached() - before;
}

/** The page cache in bytes (proc_meminfo(5)). */
function cached(): number {
  return Number(/^Cached: +([0-9]+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1]) * 1024;
}

/** What a package manager would install again: the same files with the times of their packages, and some that differ. */
function plantSystem(dir: string, number: number): string {
  makeTree(dir);
  for (let index = 0; index < FILES; index++) {
    const directory = join(dir, "usr/lib", `d${index % 40}`);
    mkdirSync(directory, { recursive: true });
    const own = index % 100 < OWN ? number : 0;
    const content = new Uint8Array(4096 * (1 + (index % 47))).fill(index + own);
    const path = join(directory, `f${index}`);
    writeFileSync(path, content);
    utimesSync(path, 1_600_000_000 + own, 1_600_000_000 + own);
  }
  return dir;
}
