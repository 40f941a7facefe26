/** A base in place, written by hand: tests of instances need no import. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "./host.ts";
import { makeTree } from "./tree.ts";

/** Makes `layers` (directories, top first) version `version` of the base `name`, and the current one. */
export function plantBase(host: Host, name: string, layers: string | readonly string[], version = 1): void {
  const base = join(host.root, "bases", name);
  mkdirSync(join(base, "versions"), { recursive: true, mode: 0o700 });
  for (const directory of ["layers", "instances", "ephemeral", "staging", "trash"]) {
    mkdirSync(join(host.root, directory), { recursive: true, mode: 0o700 });
  }
  const manifest = {
    layers: [layers].flat().map((path) => ({ path })),
    digest: `sha256:${name}-${version}`,
    created: "2024-01-01T00:00:00.000Z",
    origin: "test",
  };
  writeFileSync(join(base, "versions", `${version}.json`), JSON.stringify(manifest));
  writeFileSync(join(base, "base.json"), JSON.stringify({ current: version, last: version }));
}

/** Makes the base `name` of a small tree that runs; returns the tree's directory. */
export function makeBase(host: Host, name: string): string {
  const tree = makeTree(join(host.dir, `tree-${name}`));
  plantBase(host, name, tree);
  return tree;
}

/** What is left of containers: records, rewritten configurations, uppers. */
export function leftovers(host: Host): string[] {
  const { root, run } = host;
  const places = [join(run, "records"), join(run, "configs"), join(root, "ephemeral"), join(root, "staging")];
  return places.flatMap((place) =>
    existsSync(place) ? readdirSync(place).map((name) => join(place, name)) : [],
  );
}
