/** Named instances of a host of tests. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { Host } from "./host.ts";

/** Removes them all, mounted or not, and expects that nothing half made is left. */
export async function removeInstances(host: Host): Promise<void> {
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) {
    await host.veneer("umount", id);
    await host.ok("rm", id);
  }
  expect(readdirSync(join(host.root, "staging"))).toEqual([]);
}

/** Runs `action` on the mounted instance's root; what is mounted by other means than the program is left so. */
export async function within<T>(host: Host, id: string, action: (root: string) => T): Promise<T> {
  const root = await host.ok("mount", id);
  try {
    return action(root);
  } finally {
    await host.ok("umount", id);
  }
}
