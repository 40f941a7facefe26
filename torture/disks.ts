/** Disks that are full, lose their power or are read while they change: the store is as before or as after. */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { must, sh } from "../test/helpers/host.ts";
import { ageTemporaries } from "../test/helpers/leftovers.ts";
import { randomNumbers } from "../test/helpers/random-edits.ts";
import type { Operation } from "./faults/operation.ts";
import { OPERATIONS } from "./faults/operations.ts";
import { judge, mustBeEmpty, startsRight, succeeds, verifyAll } from "./faults/trial.ts";
import { HUNG, makeWorld, type World } from "./faults/world.ts";
import { isBareException, isChosen, lineOf, rerun, type Setting, timeIsUp } from "./part.ts";

/** Those that write to the store. */
const WRITERS = OPERATIONS.filter(
  ({ name, reads }) => !reads && !/^internal |doctor|completion|unshare|setup|^hook lxc/.test(name),
);

export async function tortureDisks(setting: Setting): Promise<void> {
  const begin = Date.now();
  const until = (part: number) => ({ ...setting, deadline: begin + (setting.deadline - begin) * part });
  if (isChosen(setting, "full")) await fullDisks(until(0.4));
  if (isChosen(setting, "power")) await powerLosses(until(0.8));
  if (isChosen(setting, "copy")) await copies(until(1));
}

const again = (setting: Setting, what: string) => rerun(setting, "disks", `--match ${what}`);

/** A tmpfs that shrinks to a little more than it holds, in bytes or in files. */
async function fullDisks(setting: Setting): Promise<void> {
  const { counts, seed, quick } = setting;
  const world = await makeWorld("full");
  const random = randomNumbers(seed);
  const remount = (options: string) => must("mount", ["-o", `remount,${options}`, world.memory]);
  try {
    for (let trial = 0; trial === 0 || (!timeIsUp(setting) && (!quick || trial < 4)); trial++) {
      const operation = WRITERS[random(WRITERS.length)] as Operation;
      const inodes = random(3) === 0;
      const room = inodes ? random(60) : random(3000);
      const what = `${operation.name} with ${inodes ? `${room} files` : `${room} KiB`} of room`;
      try {
        await world.reset();
        await operation.prepare?.(world);
        const call = await operation.call(world, []);
        const { files, ffree, blocks, bfree, bsize } = statfsSync(world.memory);
        await remount(
          inodes ? `nr_inodes=${files - ffree + room}` : `size=${(blocks - bfree) * bsize + room * 1024}`,
        );
        const outcome = await world.run(call.file, call.args, call);
        await remount("size=1g,nr_inodes=1m");
        if (outcome.status === HUNG) throw new Error("it hangs");
        if (isBareException(outcome.stderr)) throw new Error(outcome.stderr.slice(0, 300));
        if (outcome.status === 0) {
          const wrong = await judge(world, operation, outcome);
          if (wrong) throw new Error(wrong);
        } else if (!/ENOSPC|No space left|EDQUOT|too large/i.test(`${outcome.stderr}${outcome.stdout}`)) {
          throw new Error(
            `status ${outcome.status}, and no word of the full disk: ${(outcome.stderr || outcome.stdout).slice(0, 300)}`,
          );
        }
        await inOrder(world, operation);
        counts.add(inodes ? "operations without inodes" : "operations on a full disk");
        counts.add(outcome.status === 0 ? "of them done" : "of them refused: no space");
      } catch (error) {
        await remount("size=1g,nr_inodes=1m");
        counts.fault(`${what}: ${lineOf(error)}`, again(setting, "full"));
      }
    }
  } finally {
    await world.remove();
  }
}

async function inOrder(world: World, { finish }: Operation): Promise<void> {
  ageTemporaries(world.host);
  succeeds("gc", await world.veneer("gc"));
  await verifyAll(world);
  await startsRight(world);
  await finish?.(world);
  await mustBeEmpty(world);
}

/** An xfs that is shut down while it is written to, and mounted again. */
async function powerLosses(setting: Setting): Promise<void> {
  const { counts, seed, quick } = setting;
  const place = mkdtempSync("/tmp/veneer-torture-image-");
  const image = join(place, "image");
  await must("truncate", ["-s", "400M", image]);
  await must("mkfs.xfs", ["-q", image]);
  const mount = (directory: string) => must("mount", ["-o", "loop", image, directory]);
  const world = await makeWorld("power", { mount });
  const random = randomNumbers(seed);
  const chosen = WRITERS.filter(({ name }) =>
    /^(base (import|edit|commit|update)|commit|clone|rebase|rollout|cutover|run|gc|dedupe|rm)(,|$)/.test(
      name,
    ),
  );
  try {
    for (let trial = 0; trial === 0 || (!timeIsUp(setting) && (!quick || trial < 2)); trial++) {
      const operation = chosen[random(chosen.length)] as Operation;
      const delay = random(1500);
      try {
        await world.reset();
        await operation.prepare?.(world);
        await must("sync", ["-f", world.memory]);
        const call = await operation.call(world, []);
        const running = world.run(call.file, call.args, { ...call, limit: 60 });
        await Promise.race([running, new Promise((resolve) => setTimeout(resolve, delay))]);
        await must("xfs_io", ["-x", "-c", "shutdown", world.memory]);
        const { stderr, status } = await running;
        if (status === HUNG) throw new Error("it hangs on a disk that is gone");
        if (isBareException(stderr)) throw new Error(stderr.slice(0, 300));
        await remount(world, mount);
        // the machine starts anew: /run is empty
        for (const name of ["run", "state"]) rmSync(join(world.dir, name), { recursive: true, force: true });
        await inOrder(world, { ...operation, finish: async () => {} });
        counts.add("power losses");
      } catch (error) {
        counts.fault(
          `a power loss ${delay} ms into ${operation.name}: ${lineOf(error)}`,
          again(setting, "power"),
        );
        await remount(world, mount);
      }
    }
  } finally {
    await world.remove();
    rmSync(place, { recursive: true });
  }
}

async function remount(world: World, mount: (directory: string) => Promise<unknown>): Promise<void> {
  await world.end();
  for (let tries = 0; ; tries++) {
    const { status, stderr } = await sh("umount", [world.memory]);
    if (status === 0) break;
    if (tries > 100) throw new Error(stderr);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await mount(world.memory);
}

/** A store that is copied, file by file, while it changes; then the copy is all that there is. */
async function copies(setting: Setting): Promise<void> {
  const { counts, seed, quick } = setting;
  const world = await makeWorld("copied");
  const random = randomNumbers(seed);
  const chosen = WRITERS.filter(({ bases, background }) => bases && !background);
  try {
    for (let trial = 0; trial === 0 || (!timeIsUp(setting) && (!quick || trial < 2)); trial++) {
      const operation = chosen[random(chosen.length)] as Operation;
      try {
        await world.reset();
        await operation.prepare?.(world);
        const call = await operation.call(world, []);
        const running = world.run(call.file, call.args, call);
        await new Promise((resolve) => setTimeout(resolve, random(800)));
        const copy = join(world.dir, "work/copy");
        // what vanishes meanwhile is not copied
        await sh("cp", ["-a", world.host.root, copy]);
        await running;
        await restored(world, copy);
        counts.add("stores restored from a copy");
      } catch (error) {
        counts.fault(`a store copied during ${operation.name}: ${lineOf(error)}`, again(setting, "copy"));
      }
    }
  } finally {
    await world.remove();
  }
}

/** The copy in the store's place: gc and base verify bring it to order, and what did not change is whole. */
async function restored(world: World, copy: string): Promise<void> {
  await world.end();
  rmSync(world.host.root, { recursive: true });
  rmSync(world.host.run, { recursive: true });
  await must("mv", [copy, world.host.root]);
  ageTemporaries(world.host);
  succeeds("gc of the copy", await world.veneer("gc"));
  await startsRight(world);
  for (const { name } of JSON.parse(await world.ok("base", "ls", "--json"))) {
    const { status, stderr, stdout } = await world.veneer("base", "verify", name);
    if (status === 0) continue;
    if (name === "b") throw new Error(`base verify b, which nobody changed: ${stderr || stdout}`);
    if (!/veneer: |damaged|missing/.test(stderr + stdout))
      throw new Error(`base verify ${name} without a word: ${stderr}`);
    succeeds(`base rm ${name} of a damaged base`, await world.veneer("base", "rm", name));
  }
  await mustBeEmpty(world);
}
