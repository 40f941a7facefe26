/** The limit of open descriptors of this process (RLIMIT_NOFILE, setrlimit(2)). */
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

const RLIMIT_NOFILE = 7;

/** Descriptors set aside for everything else that this process opens. */
const USUAL = 512;

/** Raises the limit so that `count` files can be open. False where denied: only root may raise the hard limit. */
export function allowOpenFiles(count: number): boolean {
  const needed = BigInt(count + USUAL);
  const limits = new BigUint64Array(2);
  check(syscall(SYS.prlimit64, 0, RLIMIT_NOFILE, null, limits), "prlimit64");
  const [soft = 0n, hard = 0n] = limits;
  if (soft >= needed) return true;
  const wanted = new BigUint64Array([needed, hard > needed ? hard : needed]);
  return syscall(SYS.prlimit64, 0, RLIMIT_NOFILE, wanted, null) >= 0;
}
