/** Every operation beside a container that does what it can to whoever looks at it: the programs of test/security. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeBundle, nextId } from "../test/helpers/bundle.ts";
import { compileFixture } from "../test/helpers/host.ts";
import { waitFor } from "../test/helpers/wait.ts";
import type { Operation } from "./faults/operation.ts";
import { OPERATIONS } from "./faults/operations.ts";
import { judge, mustBeEmpty, startsRight, succeeds, verifyAll } from "./faults/trial.ts";
import { distOf, HUNG, makeWorld, type World } from "./faults/world.ts";
import { chosenOf, lineOf, rerun, type Setting, shuffled, timeIsUp } from "./part.ts";

const PROGRAMS = ["silent-fuse", "held-memory", "exchange", "crowd"] as const;

/** Everything at once: servers that never answer, locked memory, names that change places, crowds of mounts and processes. */
const COMMAND = `
  mknod /dev/fuse c 10 229
  mkdir -p /x/mine /x/link /etc/deep && cd /
  /programs/silent-fuse /silent >/started 2>&1 &
  /programs/held-memory /held >/held-started 2>&1 &
  /programs/exchange /x mine link >/exchanging &
  /programs/crowd mounts 300 >/crowded &
  /programs/crowd processes 100 >/full &
  while :; do mv /etc/deep /var/deep; ln -sfn / /var/link; mv /var/deep /etc/deep; rm -f /var/link; done`;

export async function tortureHostile(setting: Setting): Promise<void> {
  const { counts, seed, quick } = setting;
  const world = await makeWorld("hostile");
  try {
    const programs = join(world.dir, "programs");
    mkdirSync(programs);
    for (const name of PROGRAMS) await compileFixture(name, join(programs, name));
    const all = shuffled(chosenOf(setting, OPERATIONS), seed);
    for (const [place, operation] of all.slice(0, quick ? 4 : all.length).entries()) {
      if (place > 0 && timeIsUp(setting)) break;
      try {
        await beside(world, operation);
        counts.add("operations beside a hostile container");
      } catch (error) {
        counts.fault(
          `${operation.name} beside a hostile container: ${lineOf(error)}`,
          rerun(setting, "hostile", `--match '${operation.name}'`),
        );
      }
    }
  } finally {
    await world.remove();
  }
}

async function beside(world: World, operation: Operation): Promise<void> {
  await world.reset();
  const hostile = await start(world);
  await operation.prepare?.(world);
  const call = await operation.call(world, []);
  const outcome = await world.run(call.file, call.args, call);
  if (outcome.status === HUNG) throw new Error("it hangs");
  if (outcome.status !== 0)
    throw new Error(`status ${outcome.status}: ${(outcome.stderr || outcome.stdout).slice(-300)}`);
  const wrong = await judge(world, operation, outcome);
  if (wrong) throw new Error(wrong);
  succeeds("gc", await world.veneer("gc"));
  await startsRight(world);
  if (!hostile.runs()) throw new Error("the hostile container has ended");
  await operation.finish?.(world);
  await hostile.stop();
  if (operation.bases) await verifyAll(world);
  await mustBeEmpty(world);
}

async function start(world: World) {
  const bundle = makeBundle(join(world.dir, "work/hostile"), COMMAND, (config) => {
    config.annotations = {
      "run.veneer.base": "old@2",
      "run.veneer.instance": "hostile",
      "run.veneer.upper": "persistent",
    };
    config.mounts.push({
      destination: "/programs",
      type: "bind",
      source: join(world.dir, "programs"),
      options: ["bind", "ro"],
    });
    config.linux.resources = { devices: [{ allow: true, access: "rwm" }] };
    const all = ["CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE"];
    config.process.capabilities = { bounding: all, effective: all, permitted: all };
  });
  const state = ["--root", join(world.dir, "state")];
  const id = nextId();
  const begun = await world.run(distOf("veneer-runc"), [...world.wrapper, "run", "-d", "-b", bundle, id]);
  if (begun.status !== 0) throw new Error(`the hostile container: ${begun.stderr}`);
  const pid = Number(JSON.parse((await world.run("runc", [...state, "state", id])).stdout).pid);
  const said = (name: string) => {
    const file = `/proc/${pid}/root/${name}`;
    return existsSync(file) && readFileSync(file, "utf8").includes("ready");
  };
  await waitFor(() => ["started", "exchanging", "crowded", "full"].every(said));
  return {
    runs: () => existsSync(`/proc/${pid}/ns`),
    async stop() {
      await world.run("runc", [...state, "kill", id, "KILL"]);
      await waitFor(() => !existsSync(`/proc/${pid}/ns`));
      succeeds("delete", await world.run("runc", [...state, "delete", "--force", id]));
    },
  };
}
