/** How many descriptors this process may have open (RLIMIT_NOFILE, setrlimit(2)). */
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

const RLIMIT_NOFILE = 7;

/** For what this process has open anyway. */
const USUAL = 512;

/** Lets this process open `count` files at once. False where it may not: more than its hard limit is for root alone. */
export function allowOpenFiles(count: number): boolean {
  const needed = BigInt(count + USUAL);
  const limits = new BigUint64Array(2);
  check(syscall(SYS.prlimit64, 0, RLIMIT_NOFILE, null, limits), "prlimit64");
  const [soft = 0n, hard = 0n] = limits;
  if (soft >= needed) return true;
  const wanted = new BigUint64Array([needed, hard > needed ? hard : needed]);
  return syscall(SYS.prlimit64, 0, RLIMIT_NOFILE, wanted, null) >= 0;
}
