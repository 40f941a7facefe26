/** A user exchanges a directory of a tree for a link to root's files while root reads the tree. */
import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { compileFixture, makeHost, must, sh } from "../helpers/host.ts";

const host = makeHost("/srv");
const UID = 47997;
const SECRET = "TOP-SECRET of root";
const secrets = join(host.dir, "secrets");
const tree = join(host.dir, "tree");
/** Reads of the tree, each with the exchange going on. */
const ROUNDS = 4;
const attackers: (() => void)[] = [];

const bin = mkdtempSync(join(host.dir, "bin-"));
const program = join(bin, "exchange");

/** Begins to exchange `mine` and `link` of a directory, until the tests end. */
async function exchange(as: readonly string[], directory: string): Promise<void> {
  const [file = program, ...words] = [...as, program, directory, "mine", "link"];
  const child = spawn(file, words, { stdio: ["ignore", "pipe", "inherit"] });
  attackers.push(() => child.kill("SIGKILL"));
  expect(String(await new Promise((resolve) => child.stdout.once("data", resolve)))).toBe("ready\n");
}

beforeAll(async () => {
  chmodSync(host.dir, 0o755);
  mkdirSync(secrets, { mode: 0o700 });
  for (const dir of ["bin", "etc", "mine"]) mkdirSync(join(tree, dir), { recursive: true });
  // as many names as make a walk by path go wrong each time: `cp -a` reads some secret in nearly every round
  for (let index = 0; index < 200; index++) {
    writeFileSync(join(secrets, `file-${index}`), SECRET, { mode: 0o600 });
    writeFileSync(join(tree, "mine", `file-${index}`), "of the user");
  }
  symlinkSync(secrets, join(tree, "link"));
  await must("chown", ["-hR", `${UID}:${UID}`, tree]);
  chownSync(bin, UID, UID);
  await compileFixture("exchange", program);
  const ids = ["--reuid", String(UID), "--regid", String(UID), "--clear-groups"];
  await exchange(["setpriv", ...ids, "--"], tree);
});
afterAll(async () => {
  for (const end of attackers) end();
  await host.remove();
});

/** The tree may be refused as too busy, but is never read wrongly. */
function expectDone({ status, stderr }: { status: number; stderr: string }): void {
  if (status !== 0) expect(stderr).toMatch(/replaced (again and again|while it was read)|became shorter/);
}

const holdsSecret = async (path: string) => (await sh("grep", ["-rqa", SECRET, path])).status === 0;

it("base import of a directory keeps to the tree", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    expectDone(await host.veneer("base", "import", "udy", tree));
  }
  expect(await holdsSecret(join(host.root, "layers"))).toBe(false);
});

it("base export of a directory in place keeps to the tree", async () => {
  await host.ok("base", "import", "--in-place", "place", tree);
  for (let round = 0; round < ROUNDS; round++) {
    const tar = join(host.dir, `${round}.tar`);
    expectDone(await host.veneer("base", "export", "place", tar));
    expect(await holdsSecret(tar)).toBe(false);
  }
});

it("base export to a layout keeps to it too", async () => {
  const layout = join(host.dir, "layout");
  for (let round = 0; round < ROUNDS / 2; round++) {
    expectDone(
      await host.veneer("base", "export", "place", `oci:${layout}:${round}`, "--compression", "none"),
    );
  }
  expect(await holdsSecret(layout)).toBe(false);
});

it("clone and commit of an upper that is exchanged keep to it", async () => {
  await host.ok("create", "one", "udy");
  const upper = join(host.root, "instances/one/1/upper");
  await must("cp", ["-a", join(tree, "etc"), join(upper, "mine")]);
  for (let index = 0; index < 200; index++)
    writeFileSync(join(upper, "mine", `file-${index}`), "of the user");
  symlinkSync(secrets, join(upper, "link"));
  await exchange([], upper);
  for (let round = 0; round < ROUNDS; round++) {
    expectDone(await host.veneer("clone", "one", `copy-${round}`));
    expectDone(await host.veneer("commit", "one", `made-${round}`));
  }
  for (const directory of ["instances", "layers"])
    expect(await holdsSecret(join(host.root, directory))).toBe(false);
});

it("whoever only looks at an upper that is exchanged ends, and reports what it saw", async () => {
  for (let round = 0; round < 5 * ROUNDS; round++) {
    const changes = await host.ok("diff", "one");
    expect(changes).toContain("/mine");
    expect(changes).not.toContain("/secrets");
    for (const words of [["ls"], ["inspect", "one"], ["df"], ["rebase", "one", "udy@1", "--dry-run"]]) {
      await host.ok(...words);
    }
  }
});

it("adopt of an upper that is exchanged keeps to it", async () => {
  const lower = join(host.dir, "lower");
  mkdirSync(join(lower, "etc"), { recursive: true });
  await host.ok("base", "import", "low", lower);
  for (let round = 0; round < ROUNDS; round++) {
    const directory = join(host.dir, "lxc", `web${round}`);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, "config"), `lxc.rootfs.path = overlay:${lower}:${tree}\n`);
    expectDone(await host.veneer("adopt", directory, "--base", "low"));
  }
  expect(await holdsSecret(join(host.root, "instances"))).toBe(false);
});

it("a base in place of which a link is made is not followed to what root has", async () => {
  const home = join(host.dir, "home");
  mkdirSync(join(home, "place/bin"), { recursive: true });
  copyFileSync("/bin/busybox", join(home, "place/bin/busybox"));
  await must("chown", ["-hR", `${UID}:${UID}`, home]);
  await host.ok("base", "import", "--in-place", "linked", join(home, "place"));
  await host.ok("create", "on-it", "linked");
  renameSync(join(home, "place"), join(home, "kept"));
  symlinkSync(secrets, join(home, "place"));
  for (const words of [
    ["mount", "on-it"],
    ["create", "new", "linked"],
    ["run", "linked", "--", "/bin/busybox", "ls", "/"],
    ["base", "export", "linked", join(host.dir, "linked.tar")],
    ["base", "edit", "linked", "--", "/bin/busybox", "ls", "/"],
  ]) {
    const outcome = await host.veneer(...words);
    expect([words, outcome.status === 0, outcome.stdout]).toEqual([words, false, ""]);
    expect(outcome.stderr).toMatch(/a link has taken its place/);
  }
  rmSync(join(home, "place"));
  renameSync(join(home, "kept"), join(home, "place"));
  await host.ok("mount", "on-it");
  await host.ok("umount", "on-it");
});
