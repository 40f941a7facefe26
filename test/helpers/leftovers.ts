/** What a host holds besides its bases: empty after the last ephemeral container is gone. */
import { existsSync, readdirSync } from "node:fs";
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
