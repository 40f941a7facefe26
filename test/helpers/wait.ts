/** How many times longer than usual things may take: the guests of `npm run test:kernels` are slow. */
export const PATIENCE = Number(process.env.VENEER_TEST_PATIENCE ?? 1);

/** Waits for what happens out of the way: asks every 20 ms, at most for `limit` ms. */
export async function waitFor(condition: () => boolean | Promise<boolean>, limit = 60_000): Promise<void> {
  const end = Date.now() + limit * PATIENCE;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not so after ${limit * PATIENCE} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
