/** How far a version is from the current one of its base. Pure. */

/**
 * How many published versions lead from `version` to `current`: 0 on the current one, negative above it, where
 * `base use` went back. Versions that were removed do not count.
 */
export function versionsBehind(version: number, current: number, published: readonly number[]): number {
  const [low, high, sign] = version <= current ? [version, current, 1] : [current, version, -1];
  const between = published.filter((one) => one > low && one <= high).length;
  // never -0
  return between === 0 ? 0 : sign * between;
}
