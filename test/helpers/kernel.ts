/** Which Linux the tests run on: for what a test may ask of it by its version alone. */
import { readFileSync } from "node:fs";
import { isAtLeast, parseVersion } from "../../src/doctor/version.ts";

const release = parseVersion(readFileSync("/proc/sys/kernel/osrelease", "utf8")) ?? [];

/** Whether this kernel is of `version` (`6.5`) or later. */
export function isLinux(version: string): boolean {
  return isAtLeast(release, parseVersion(version) ?? []);
}
