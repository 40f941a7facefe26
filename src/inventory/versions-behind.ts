/** How far a version is from the current version of its base. Pure. */

/**
 * Counts the published versions between `version` and `current`: 0 on the current version, negative when `version` is
 * newer because `base use` went back. Removed versions do not count.
 */
export function versionsBehind(version: number, current: number, published: readonly number[]): number {
  const [low, high, sign] = version <= current ? [version, current, 1] : [current, version, -1];
  const between = published.filter((one) => one > low && one <= high).length;
  // avoids -0
  return between === 0 ? 0 : sign * between;
}
