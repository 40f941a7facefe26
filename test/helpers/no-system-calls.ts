/** In unit tests in the place of src/sys/primitive.ts: what is pure makes no system call. */
export type Arg = number | bigint | NodeJS.TypedArray | null;

export function syscall(number: number): number {
  throw new Error(`a unit test made system call ${number}: such a test belongs in test/root`);
}

export function addressOf(): bigint {
  throw new Error("a unit test handed an address to the kernel: such a test belongs in test/root");
}
