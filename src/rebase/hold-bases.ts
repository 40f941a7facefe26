/** The versions that a rebase leads from and to, held against removal. */
import { VeneerError } from "../errors.ts";
import { type BaseVersion, lockBase, readVersion } from "../store/bases.ts";
import type { Store } from "../store/paths.ts";
import type { BaseRef } from "../text/names.ts";
import { formatBaseRef } from "../text/names.ts";

/**
 * Holds the base of `before` and the version `after`, which was read without its lock: whoever publishes a version or
 * removes one waits until the scope ends. Throws where `after` is gone by now, or another.
 */
export function holdBases(store: Store, before: BaseRef, after: BaseVersion): Disposable {
  using stack = new DisposableStack();
  stack.use(lockBase(store, after));
  if (before.name !== after.name) stack.use(lockBase(store, before));
  requireSame(store, after);
  return stack.move();
}

/** Throws where a version is gone, or another by now. */
export function requireSame(store: Store, version: BaseVersion): void {
  const { name, version: number, manifest } = version;
  const now = readVersion(store, { name, version: number });
  if (now.manifest.digest === manifest.digest) return;
  throw new VeneerError("MOVED", `${formatBaseRef(version)} was replaced meanwhile`, { hint: "try again" });
}
