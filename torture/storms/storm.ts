/** What a storm is made of: commands, some of which are killed, and what they may say. */
import { type Outcome, PROGRAM } from "../../test/helpers/host.ts";
import { HUNG, type World } from "../faults/world.ts";
import { type Counts, isBareException } from "../part.ts";

/** Of a hundred commands, as many are killed at a moment of their own. */
const KILLED = 15;

/** What an instance's file must say: lines that were acknowledged, and lines of lives that were killed. */
export interface Journal {
  readonly written: string[];
  readonly perhaps: Set<string>;
}

export interface Storm {
  readonly world: World;
  readonly counts: Counts;
  readonly journals: Map<string, Journal>;
  readonly faults: string[];
}

/** One of a storm's lives and commands: what it does derives from the seed and its number alone. */
export interface Life extends Storm {
  readonly number: number;
  readonly random: (limit: number) => number;
}

/** Runs a command, which may be killed at a random moment; undefined when it was. */
export async function command(
  { world, counts, random }: Life,
  file: string,
  args: readonly string[],
): Promise<Outcome | undefined> {
  if (random(100) >= KILLED) return world.run(file, args);
  const seconds = `0.${String(random(400)).padStart(3, "0")}`;
  const outcome = await world.run("timeout", ["-s", "KILL", seconds, file, ...args]);
  if (outcome.status < 128) return outcome;
  counts.add("kills at random moments");
  return undefined;
}

export const veneer = (life: Life, ...words: string[]) =>
  command(life, PROGRAM, [...life.world.words, ...words]);

/** What a busy host may answer: the name of the error, as docs/errors.md has it. */
const REFUSALS =
  /\[(HELD|BUSY|IN_USE|EDITED|BEING_EDITED|SESSION|NO_SESSION|CHANGED|MOVING|RUNNING|MOUNTED|NOT_MOUNTED|NOT_RUNNING|NO_INSTANCE|NO_VERSION|NO_BASE|INSTANCE_EXISTS|EXISTS|ROLLOUT|NO_GENERATION|CONFLICT|LOCKED|NOTHING)[A-Z_]*\]/;

/** Whether it succeeded; anything but success, a kill or a refusal is a fault. */
export function check(life: Life, what: string, outcome: Outcome | undefined): boolean {
  if (outcome === undefined) return false;
  const { status, stdout, stderr } = outcome;
  if (status === 0) return true;
  // a rollout names what it could not move, and why, in its table
  const refusal = REFUSALS.exec(`${stderr}\n${stdout}`)?.[0];
  if (status === HUNG) fault(life, `${what} hangs`);
  else if (isBareException(stderr)) fault(life, `${what}: ${stderr.slice(0, 400)}`);
  else if (status >= 128) fault(life, `${what} ended by signal ${status - 128}: ${stderr.slice(0, 200)}`);
  else if (!refusal)
    fault(life, `${what}: status ${status}: ${stderr.slice(0, 400)} ${stdout.slice(0, 800)}`);
  else life.counts.add(`refused in words: ${refusal}`);
  return false;
}

export function fault({ faults, number }: Life, what: string): void {
  faults.push(`life ${number}: ${what}`);
}
