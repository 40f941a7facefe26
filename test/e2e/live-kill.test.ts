/** A live rebase that is killed or fails at any system call: the container runs on, and gc brings all to order. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Config, nextId } from "../helpers/bundle.ts";
import { type Outcome, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { ageTemporaries, leftovers } from "../helpers/leftovers.ts";
import { begin, failure, plantVersions, type Running } from "../helpers/live.ts";
import { need } from "../helpers/need.ts";
import { failAt, inject, killAt, type Moment, momentsOf, recordTo, tryStrace } from "../helpers/strace.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
beforeAll(() => plantVersions(host));

const NESTED = "busybox unshare -m sh -c 'mount --bind /bin /bin; touch /nested; exec sleep 1002' & ";
const LOOP = `${NESTED} exec 7>>/log; while :; do echo x >&7; cat /etc/version > /seen; sleep 0.02; done`;

const withVolume = (config: Config) => {
  const source = join(host.dir, "volume");
  config.mounts.push({ destination: "/data", type: "bind", source, options: ["rbind", "rw"] });
};

interface Subject {
  readonly instance: string;
  readonly container: Running;
  readonly mounts: readonly string[];
  readonly nested: number;
  readonly nestedMounts: readonly string[];
}

async function subject(way: string): Promise<Subject> {
  const instance = nextId();
  await host.ok("create", instance, "b@1");
  const container = await begin(host, way, LOOP, instance, withVolume);
  await expect.poll(() => container.exec("ls /nested 2>/dev/null || true")).toBe("/nested");
  const nested = nestedIn(container);
  return { instance, container, mounts: container.mounts(), nested, nestedMounts: pointsOf(nested) };
}

/** The process of the container that has a mount namespace of its own. */
function nestedIn({ pid }: Running): number {
  const link = (one: number | string, kind: string) => {
    try {
      return readlinkSync(`/proc/${one}/ns/${kind}`);
    } catch {
      return "";
    }
  };
  const found = readdirSync("/proc").find(
    (one) =>
      /^[0-9]+$/.test(one) && link(one, "pid") === link(pid, "pid") && link(one, "mnt") !== link(pid, "mnt"),
  );
  return Number(found);
}

/** Mount points and options of what a process sees: on either root the same. */
function pointsOf(pid: number): string[] {
  const lines = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trimEnd().split("\n");
  return lines.map((line) => line.split(" ").slice(3, 6).join(" ")).sort();
}

const definition = (instance: string) =>
  JSON.parse(readFileSync(join(host.root, "instances", instance, "instance.json"), "utf8"));

/** A file that was only half written is left to gc until it is old. */
const intents = () => readdirSync(join(host.run, "moving")).filter((name) => name.endsWith(".json"));

/** What the container has written to a file. */
const written = ({ container }: Subject, name: string) =>
  readFileSync(`/proc/${container.pid}/root/${name}`, "utf8");

/** Waits until the container has done more. */
async function expectAtWork(it: Subject): Promise<void> {
  const { length } = written(it, "log");
  await expect.poll(() => written(it, "log").length).toBeGreaterThan(length);
}

/** The container runs on, as before but for its version, of which all say the same; `gc`: how that ended. */
async function expectOrder(it: Subject, where: string, gc?: Outcome): Promise<void> {
  expect([where, gc ?? (await host.veneer("gc"))]).toMatchObject([where, { status: 0 }]);
  expect([where, intents()]).toEqual([where, []]);
  const { instance, container, mounts, nested, nestedMounts } = it;
  expect([where, container.mounts()]).toEqual([where, mounts]);
  expect([where, pointsOf(nested)]).toEqual([where, nestedMounts]);
  const { version, parts = 0 } = definition(instance);
  expect([where, await container.exec("cat /etc/version")]).toEqual([where, String(version)]);
  await expect.poll(() => [where, written(it, "seen")]).toEqual([where, `${version}\n`]);
  await expectAtWork(it);
  const [row] = JSON.parse(await host.ok("ps", "--json"));
  expect([where, row]).toMatchObject([where, { instance, version }]);
  const directory = join(host.root, "instances", instance, "1/parts");
  const left = existsSync(directory) ? readdirSync(directory).filter((name) => Number(name) > parts) : [];
  expect([where, left]).toEqual([where, []]);
  expect([where, readdirSync(join(host.root, "staging"))]).toEqual([where, []]);
}

const other = ({ instance }: Subject) => (definition(instance).version === 1 ? "b@2" : "b@1");

/** Runs a rebase to the other version under strace. */
const traced = (it: Subject, options: readonly string[]) =>
  sh("strace", [
    ...options,
    PROGRAM,
    ...storeOptions(host),
    "rebase",
    "--pause-limit",
    // a guard that is killed too leaves a sleep of that length, for which strace waits
    "5000",
    it.instance,
    other(it),
  ]);

/** What a killed writer leaves beside a document is taken by gc when it is old. */
async function expectNothingLeft(): Promise<void> {
  ageTemporaries(host);
  await host.ok("gc");
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) await host.ok("rm", id);
  // what rm removed is deleted in the background
  await expect.poll(() => leftovers(host)).toEqual([]);
}

/** `npm run proof` tries every call, this one those in the middle of the exchange. */
const DECISIVE = /^(linkat|renameat2|mount_setattr|move_mount|pivot_root|umount2)$/;
const isTried = ({ call }: Moment) => process.env.VENEER_PROOF_ROUNDS !== undefined || DECISIVE.test(call);

/** Tries each moment of a rebase on a container that runs all the while; calls `after` with where it was. */
async function everywhere(
  options: (moment: Moment) => string[],
  after: (current: Subject, where: string, outcome: Outcome) => Promise<void>,
): Promise<void> {
  const trace = join(host.dir, "trace");
  let current = await subject("runc wrapped");
  expect(await traced(current, recordTo(trace))).toMatchObject({ status: 0 });
  const moments: Moment[] = momentsOf(trace);
  expect(moments.length).toBeGreaterThan(40);
  for (const moment of moments.filter(isTried)) {
    if ((definition(current.instance).parts ?? 0) > 10) {
      await current.container.stop();
      current = await subject("runc wrapped");
    }
    await after(current, `${moment.call} ${moment.when}`, await traced(current, options(moment)));
  }
  await current.container.stop();
  await expectNothingLeft();
}

describe("a rebase of a running container", () => {
  it("is killed at each call that changes something", { timeout: 600_000 }, async (context) => {
    await need(context, "strace", tryStrace);
    const told = new Set<string>();
    let guarded = 0;
    await everywhere(killAt, async (current, where, { stderr }) => {
      // the guard is killed at the same call, where it comes to it: then gc does what it would have done
      const byGuard = /killed midway: it runs on its (old|new) root/.test(stderr);
      if (byGuard) {
        guarded++;
        expect([where, intents()]).toEqual([where, []]);
        await expectAtWork(current);
      }
      const gc = await host.veneer("gc");
      for (const [found] of `${stderr}${gc.stderr}`.matchAll(/on its (old|new) root/g)) told.add(found);
      await expectOrder(current, where, gc);
    });
    expect(guarded).toBeGreaterThan(3);
    expect([...told].sort()).toEqual(["on its new root", "on its old root"]);
  });

  it("fails at each call that changes something", { timeout: 600_000 }, async (context) => {
    await need(context, "strace", tryStrace);
    let failures = 0;
    await everywhere(failAt, async (current, where, { status, stderr }) => {
      if (status !== 0) {
        failures++;
        expect([where, stderr]).toEqual([where, expect.stringMatching(/^veneer: .*EIO/m)]);
      }
      await expectOrder(current, where);
    });
    expect(failures).toBeGreaterThan(10);
  });

  it("is told to end while the container stands still, and ends it first", {
    timeout: 120_000,
  }, async (context) => {
    await need(context, "strace", tryStrace);
    const current = await subject("runc wrapped");
    // the first move_mount asks what the kernel can do, before anything is done
    for (const [call, when] of [
      ["move_mount", 2],
      ["pivot_root", 1],
      ["umount2", 1],
    ] as const) {
      const trace = inject(call, `signal=TERM:when=${when}`);
      expect([call, failure(await traced(current, trace))]).toEqual([call, ""]);
      await expectOrder(current, call);
    }
    await current.container.stop();
    await expectNothingLeft();
  });
});
