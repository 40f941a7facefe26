/** A kill and each error at every distinct system call of every operation. */
import { inParallel } from "../../src/process/parallel.ts";
import { chosenOf, lineOf, rerun, type Setting, shuffled, timeIsUp } from "../part.ts";
import type { Operation } from "./operation.ts";
import { missingOperations, OPERATIONS } from "./operations.ts";
import { type Kind, kindsAt, type Point } from "./points.ts";
import { numberOf, type Reference, refer, strike } from "./trial.ts";
import { makeWorld, type World } from "./world.ts";

const WORKERS = 2;

interface Case {
  readonly reference: Reference;
  readonly point: Point;
  readonly kind: Kind;
}

export async function tortureFaults(setting: Setting): Promise<void> {
  const { counts } = setting;
  for (const missing of missingOperations()) counts.fault(missing, "see torture/faults/operations.ts");
  const chosen = shuffled(chosenOf(setting, OPERATIONS), setting.seed);
  const workers = Math.min(WORKERS, chosen.length);
  const worlds = await Promise.all(Array.from({ length: workers }, (_, index) => makeWorld(String(index))));
  let waiting = chosen.length;
  try {
    await inParallel(workers, chosen, async (operation, worker) => {
      // at least one, however slow the machine is
      if (waiting < chosen.length && timeIsUp(setting)) return;
      // an even share of the time that is left: what one operation does not need goes to those after it
      const now = Date.now();
      const deadline = now + ((setting.deadline - now) * workers) / Math.max(waiting--, workers);
      await tryOperation({ ...setting, deadline }, worlds[worker] as World, operation);
    });
  } finally {
    for (const world of worlds) await world.remove();
  }
}

/** Runs an operation in peace, and then struck, until its time is up. */
async function tryOperation(setting: Setting, world: World, operation: Operation): Promise<void> {
  const { counts } = setting;
  let reference: Reference;
  try {
    reference = await refer(world, operation);
  } catch (error) {
    counts.fault(lineOf(error), again(setting, operation.name));
    return;
  }
  const cases = reference.points.flatMap((point) =>
    kindsAt(point, operation.program === "large").map((kind): Case => ({ reference, point, kind })),
  );
  counts.add("operations");
  counts.add("distinct system calls of them", reference.points.length);
  counts.add("faults there are: a kill and errors at each call", cases.length);
  for (const one of order(setting, cases)) await tryOne(setting, world, one);
}

/** Those of this share, mixed by the seed. At least one is tried. */
function* order(setting: Setting, cases: readonly Case[]): Generator<Case> {
  const { index, of } = setting.share;
  const mine = cases.filter(({ reference, point, kind }) =>
    setting.at === undefined
      ? numberOf(reference.operation, point, kind) % of === index
      : setting.at === `${point.call}:${point.when}:${kind}`,
  );
  for (const [place, one] of shuffled(mine, setting.seed).entries()) {
    if (place > 0 && timeIsUp(setting)) return;
    yield one;
  }
}

async function tryOne(setting: Setting, world: World, { reference, point, kind }: Case): Promise<void> {
  const { counts } = setting;
  const { name } = reference.operation;
  try {
    await strike(world, reference, point, kind);
    counts.add(`survived: ${kind === "kill" ? "a kill" : kind}`);
  } catch (error) {
    const where = `${name}, ${kind} at ${point.call} ${point.when} (${point.text.slice(0, 120)})`;
    counts.fault(`${where}: ${lineOf(error)}`, again(setting, name, `${point.call}:${point.when}:${kind}`));
  }
}

const again = (setting: Setting, operation: string, at?: string) =>
  rerun(setting, "faults", `--match '${operation}'${at ? ` --at ${at}` : ""}`);
