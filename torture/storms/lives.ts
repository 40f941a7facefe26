/** What goes on in a storm: starts of containers, and everything else that can go on beside them. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeBundle, nextId } from "../../test/helpers/bundle.ts";
import { distOf } from "../faults/world.ts";
import { check, command, fault, type Life, veneer } from "./storm.ts";

/** Persistent instances that lives share. */
export const INSTANCES = 12;

/** A life on an instance: it writes a line, and says so. */
async function journalled(life: Life): Promise<void> {
  const id = `s${life.random(INSTANCES)}`;
  const line = `life ${life.number}`;
  const journal = life.journals.get(id) ?? { written: [], perhaps: new Set<string>() };
  life.journals.set(id, journal);
  const script = `echo ${line} >>/journal && echo said`;
  const outcome = await veneer(life, "run", "b", "--name", id, "--", "sh", "-c", script);
  if (check(life, "run --name", outcome) && outcome?.stdout === "said") journal.written.push(line);
  else journal.perhaps.add(line);
}

async function ephemeral(life: Life): Promise<void> {
  const outcome = await veneer(life, "run", "b", "--", "cat", "/etc/version");
  if (check(life, "run", outcome) && !/^[0-9]+$/.test(outcome?.stdout ?? ""))
    fault(life, `run printed '${outcome?.stdout}'`);
}

async function wrapped(life: Life): Promise<void> {
  const { world } = life;
  const inMemory = life.random(2) === 0;
  const bundle = makeBundle(join(world.dir, "work", nextId()), "cat /etc/version", (config) =>
    Object.assign(config.annotations, {
      "run.veneer.base": "b",
      ...(inMemory && { "run.veneer.tmpfs": "1m" }),
    }),
  );
  const id = nextId();
  const outcome = await command(life, distOf("veneer-runc"), [...world.wrapper, "run", "-b", bundle, id]);
  if (outcome === undefined)
    await world.run("runc", ["--root", join(world.dir, "state"), "delete", "--force", id]);
  else if (check(life, "veneer-runc", outcome) && !/^[0-9]+$/.test(outcome.stdout))
    fault(life, `veneer-runc printed '${outcome.stdout}'`);
  rmSync(bundle, { recursive: true, force: true });
}

/** A command of veneer's whose words are chosen when it is its turn. */
const verb =
  (what: string, words: (life: Life) => readonly string[] = () => [what]) =>
  async (life: Life) =>
    check(life, what, await veneer(life, ...words(life)));

const version = ({ random }: Life) => `b@${1 + random(2)}`;
const patient = ["--pause-limit", "60000"];

/** Each with a weight. */
const LIVES: readonly (readonly [weight: number, run: (life: Life) => Promise<unknown>])[] = [
  [30, ephemeral],
  [30, journalled],
  [15, wrapped],
  [4, verb("gc")],
  [2, verb("base edit", ({ number }) => ["base", "edit", "line", "--", "touch", `/edited-${number}`])],
  [
    2,
    verb("base import", ({ world, number }) => {
      writeFileSync(join(world.dir, "tree2/etc/changed"), `${number}`);
      return ["base", "import", "line", join(world.dir, "tree2")];
    }),
  ],
  [3, verb("base use", (life) => ["base", "use", version(life)])],
  [2, verb("rollout", () => ["rollout", "b", ...patient])],
  [4, verb("rebase", (life) => ["rebase", ...patient, `s${life.random(INSTANCES)}`, version(life)])],
  [2, verb("cutover", (life) => ["cutover", "web", version(life)])],
  [2, verb("fallback", () => ["fallback", "web"])],
  [2, verb("clone", ({ random }) => ["clone", "kept", `copy${random(4)}`])],
  [2, verb("rm", ({ random }) => ["rm", `copy${random(4)}`])],
  [1, verb("ls")],
  [1, verb("ps")],
  [1, verb("dedupe")],
];

const WHOLE = LIVES.reduce((sum, [weight]) => sum + weight, 0);

/** One of them, as its random numbers choose. */
export async function live(life: Life): Promise<void> {
  let at = life.random(WHOLE);
  for (const [weight, run] of LIVES) {
    at -= weight;
    if (at >= 0) continue;
    await run(life);
    return;
  }
}
