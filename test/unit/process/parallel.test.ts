import { expect, it } from "vitest";
import { inParallel } from "../../../src/process/parallel.ts";

it("works at so many at once, and at each item once", async () => {
  let now = 0;
  let most = 0;
  const done: number[] = [];
  await inParallel(3, [1, 2, 3, 4, 5, 6, 7], async (item) => {
    most = Math.max(most, ++now);
    await Promise.resolve();
    done.push(item);
    now--;
  });
  expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(most).toBe(3);
});

it("begins nothing after a failure, and throws it when the others have ended", async () => {
  const ended: number[] = [];
  const work = inParallel(2, [1, 2, 3, 4], async (item) => {
    if (item === 1) throw new Error("first");
    await new Promise((resolve) => setImmediate(resolve));
    ended.push(item);
  });
  await expect(work).rejects.toThrow("first");
  expect(ended).toEqual([2]);
});
