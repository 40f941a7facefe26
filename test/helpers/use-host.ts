/** A host for a file of tests, and what must hold after each of them. */
import { afterAll, afterEach, expect } from "vitest";
import { type Host, makeHost } from "./host.ts";
import { leftovers } from "./leftovers.ts";
import { mountTable } from "./mounts.ts";

/** The host goes when the tests of the file have ended, after all that they end themselves. */
export function useHost(): Host {
  const host = makeHost();
  afterAll(() => host.remove());
  return host;
}

/** Like {@link useHost}; after each test nothing that it mounted or stored is left. */
export function useCleanHost(): Host {
  const host = useHost();
  afterEach(async () => {
    expect(mountTable()).toEqual([]);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });
  return host;
}
