/**
 * The parts of an upper are merged while a container exchanges directories of theirs for links to root's files: below the
 * top one while it runs, through an earlier root that it keeps, and all of them afterwards.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Config } from "../helpers/bundle.ts";
import { compileFixture, makeHost, must, sh } from "../helpers/host.ts";
import { begin, plantVersions, waitUntilReady } from "../helpers/live.ts";
import { addPart, generationDirectory, partsOf } from "../helpers/parts.ts";

const host = makeHost("/srv");
const secrets = join(host.dir, "secrets");
const programs = join(host.dir, "programs");
const SECRET = "TOP-SECRET of root";
/** Pairs of a directory and a link: a walk by path follows some of the links in each round. */
const PAIRS = 300;
const attackers: (() => void)[] = [];

beforeAll(async () => {
  plantVersions(host);
  mkdirSync(secrets, { mode: 0o700 });
  mkdirSync(programs);
  for (let index = 0; index < 5; index++)
    writeFileSync(join(secrets, `of-root-${index}`), SECRET, { mode: 0o600 });
  await compileFixture("exchange", join(programs, "exchange"));
});
afterAll(async () => {
  for (const end of attackers) end();
  await host.remove();
});

/** Directories `mine0` and so on, each with a file, and as many links `link0` to root's files. */
const PAIRS_IN = (directory: string) => `cd ${directory}; i=0; while [ $i -lt ${PAIRS} ]; do
  mkdir mine$i; echo mine >mine$i/file; ln -s ${secrets} link$i; i=$((i + 1)); done`;

/** What root has, by content or by name, in any upper. */
async function expectNothingOfRoot(): Promise<void> {
  const instances = join(host.root, "instances");
  // 2 where something went while it looked; a match is 0 all the same
  const found = (await sh("grep", ["-rqa", "--devices=skip", SECRET, instances])).status;
  expect([1, 2]).toContain(found);
  expect((await sh("find", [instances, "-name", "of-root-*"])).stdout).toBe("");
  // nor did root's files get further names
  expect(await must("find", [secrets, "-type", "f", "-links", "+1"])).toBe("");
  expect(readdirSync(secrets)).toHaveLength(5);
}

it("while the container runs, and keeps writing through its first root", async () => {
  // in a mount namespace of its own with a root of its own, which a rebase does not exchange: it stays on the first
  const keep = "unshare -m chroot /work /exchange / mine link";
  const command = `mkdir -p /work; cp /programs/exchange /work/exchange; (${PAIRS_IN("/work")}); cd /
    ${keep} ${PAIRS} >/work/out 2>&1 & until grep -q ready /work/out; do sleep 0.1; done
    echo ready >/started; while :; do sleep 0.1; done`;
  const container = await begin(host, "runc wrapped", command, "evil", (config: Config) => {
    const all = ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE", "CAP_FOWNER"];
    config.process.capabilities = { bounding: all, effective: all, permitted: all };
    config.mounts.push({ destination: "/programs", type: "bind", source: programs, options: ["bind", "ro"] });
  });
  await waitUntilReady(container);
  let folded = false;
  for (let round = 0; round < 40 && !folded; round++) {
    await host.veneer("rebase", "evil", `b@${2 - (round % 2)}`, "--force");
    folded = partsOf(host, "evil").folded !== undefined;
  }
  expect(folded).toBe(true);
  for (let round = 0; round < 5; round++) {
    // it may disturb its own merge, which is then refused in one line
    const { status, stderr } = await host.veneer("internal", "merge", "evil", "--lower");
    if (status !== 0) expect(stderr).toMatch(/^veneer: .*\[[A-Z0-9_]+\]$/m);
  }
  await expectNothingOfRoot();
  expect(await container.exec("cat /started")).toBe("ready");
  await container.stop();
  await must("sh", ["-c", `"$0" internal merge evil || :`, join(host.bin, "veneer")]);
  await expectNothingOfRoot();
});

it.each(["the lower of two parts", "the upper of two parts"])(
  "after the container has ended, in %s",
  async (which) => {
    for (let round = 0; round < 4; round++) {
      const id = `ended-${which.includes("lower") ? "lower" : "upper"}-${round}`;
      await host.ok("create", id, "b@1");
      const directory = generationDirectory(host, id);
      const first = join(directory, "upper/work");
      mkdirSync(first);
      await must("sh", ["-ec", PAIRS_IN(first)]);
      symlinkSync(secrets, join(first, "link"));
      await addPart(host, id);
      const second = join(directory, "parts/1/upper/work");
      mkdirSync(second);
      await must("sh", ["-ec", PAIRS_IN(second)]);
      const attacked = which.includes("lower") ? first : second;
      const child = spawn(join(programs, "exchange"), [attacked, "mine", "link", String(PAIRS)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      attackers.push(() => child.kill("SIGKILL"));
      await new Promise((resolve) => child.stdout.once("data", resolve));
      const { status, stderr } = await host.veneer("internal", "merge", id);
      if (status !== 0) expect(stderr).toMatch(/^veneer: .*$/);
      child.kill("SIGKILL");
    }
    await expectNothingOfRoot();
  },
);
