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

it("tells each piece of work which of those at once it is", async () => {
  const busy = new Set<number>();
  const seen = new Set<number>();
  await inParallel(2, new Set(["a", "b", "c", "d"]), async (_, worker) => {
    expect(busy.has(worker)).toBe(false);
    busy.add(worker);
    seen.add(worker);
    await new Promise((resolve) => setImmediate(resolve));
    busy.delete(worker);
  });
  expect([...seen].sort()).toEqual([0, 1]);
});
