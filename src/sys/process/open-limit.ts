/** The limit of open descriptors of this process (RLIMIT_NOFILE, setrlimit(2)). */
import { check, syscall } from "../libc.ts";
import { SYS } from "../numbers.ts";

const RLIMIT_NOFILE = 7;

/** Descriptors set aside for everything else that this process opens. */
const USUAL = 512;

/** The limits of open files of this process, which are its caller's. */
export function openFiles(): { soft: number; hard: number } {
  const limits = new BigUint64Array(2);
  check(syscall(SYS.prlimit64, 0, RLIMIT_NOFILE, null, limits), "prlimit64");
  return { soft: Number(limits[0]), hard: Number(limits[1]) };
}

/** Raises the limit so that `count` files can be open. False where denied: only root may raise the hard limit. */
export function allowOpenFiles(count: number): boolean {
  const needed = count + USUAL;
  const { soft, hard } = openFiles();
  if (soft >= needed) return true;
  const wanted = new BigUint64Array([BigInt(needed), BigInt(Math.max(hard, needed))]);
  return syscall(SYS.prlimit64, 0, RLIMIT_NOFILE, wanted, null) >= 0;
}
