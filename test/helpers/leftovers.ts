/** What a host holds besides its bases: empty after the last ephemeral container is gone. */
import { existsSync, readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "./host.ts";

const PLACES = ["ephemeral", "staging", "trash", "instances"];
const RUN_PLACES = ["records", "configs", "held", "roots", "mnt"];

/** Paths, relative to the host's directory, of all that is left. */
export function leftovers(host: Pick<Host, "dir" | "root" | "run">): string[] {
  const list = (dir: string, place: string) => {
    const path = join(dir, place);
    return existsSync(path)
      ? readdirSync(path).map((name) => join(path, name).slice(host.dir.length + 1))
      : [];
  };
  return [
    ...PLACES.flatMap((place) => list(host.root, place)),
    ...RUN_PLACES.flatMap((place) => list(host.run, place)),
  ];
}

/** Makes the half-written documents of killed writers old: gc leaves young ones to a writer that may still be at it. */
export function ageTemporaries(host: Pick<Host, "dir" | "root" | "run">): void {
  for (const path of leftovers(host)) {
    if (/\.json\.[0-9a-f]{12}$/.test(path)) utimesSync(join(host.dir, path), 0, 0);
  }
}
