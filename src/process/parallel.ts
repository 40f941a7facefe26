/**
 * Runs `work` for each item, `limit` at once; `worker`, below `limit`, says which of those it is, so that each can have
 * something of its own. After a failure no more are begun; the first failure is thrown when all have ended.
 */
export async function inParallel<T>(
  limit: number,
  items: Iterable<T>,
  work: (item: T, worker: number) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  const failures: unknown[] = [];
  const take = async (worker: number) => {
    while (failures.length === 0) {
      const next = queue.next();
      if (next.done) return;
      try {
        await work(next.value, worker);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, (_, worker) => take(worker)));
  if (failures.length > 0) throw failures[0];
}
