/** A container with a file system whose server never answers: nobody who looks at the container waits for it. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { verbNames } from "../../src/cli/framework/verbs.ts";
import { compileFixture, type Host, makeHost, must, sh } from "../helpers/host.ts";
import { begin, plantVersions, type Running, waitUntilReady } from "../helpers/live.ts";

const host = makeHost("/srv");
let container: Running;

/** Seconds in which each verb ends; a hung one would never. */
const PATIENCE = "60";

beforeAll(async () => {
  plantVersions(host);
  mkdirSync(join(host.dir, "programs"));
  await compileFixture("silent-fuse", join(host.dir, "programs/silent-fuse"));
  const command = "mknod /dev/fuse c 10 229; exec /programs/silent-fuse /silent >/started 2>&1";
  container = await begin(host, "runc wrapped", command, "silent", (config) => {
    config.mounts.push({
      destination: "/programs",
      type: "bind",
      source: join(host.dir, "programs"),
      options: ["bind", "ro"],
    });
    config.linux.resources = { devices: [{ allow: true, access: "rwm" }] };
    const all = ["CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE"];
    config.process.capabilities = { bounding: all, effective: all, permitted: all };
  });
  await waitUntilReady(container);
});
afterAll(() => host.remove());

function within(of: Host, ...args: string[]) {
  return sh("timeout", ["-k", "1", PATIENCE, join(of.bin, "veneer"), ...args], { env: { PATH: of.path } });
}

it("the server is what it says: whoever asks it waits", async () => {
  const asked = await sh("timeout", [
    "-s",
    "KILL",
    "1",
    "stat",
    "-c",
    "%n",
    `/proc/${container.pid}/root/silent/x`,
  ]);
  expect(asked.status).not.toBe(0);
  expect(asked.stderr).not.toContain("No such file");
});

const tree = join(host.dir, "tree1");

/** Each verb at least once; in this order. */
const CALLS: readonly (readonly [verb: string, ...words: string[]])[] = [
  ["ps"],
  ["ps", "--stale"],
  ["ls"],
  ["tree"],
  ["metrics"],
  ["events"],
  ["dedupe"],
  ["config"],
  ["inspect", "silent"],
  ["diff", "silent"],
  ["df"],
  ["gc", "--dry-run"],
  ["gc"],
  ["base ls"],
  ["base show", "b"],
  ["base log", "b"],
  ["base diff", "b@1", "b@2"],
  ["base verify", "b"],
  ["base policy", "b"],
  ["base update", "b"],
  ["base shift", "b", "--uidmap", "0:100000:65536"],
  ["base share", "b"],
  ["base unshare", "b"],
  ["base new", "other", "--from", "b"],
  ["base export", "b", join(host.dir, "b.tar")],
  ["rebase", "silent", "b@2", "--dry-run"],
  ["rebase", "silent", "b@2"],
  ["ps", "--stale"],
  ["base edit", "b", "--", "sh", "-c", "echo 3 >/etc/version"],
  ["rollout", "b"],
  ["base edit", "other"],
  ["base commit", "other"],
  ["base edit", "other"],
  ["base abort", "other"],
  ["base import", "third", tree],
  ["base use", "b@3"],
  ["base prune", "b", "--keep", "3"],
  ["base rm", "third"],
  ["create", "one", "b"],
  ["mount", "one", join(host.dir, "one")],
  ["mounted", "one"],
  ["umount", "one"],
  ["clone", "one", "two"],
  ["clone", "silent", "copy"],
  ["commit", "silent", "made"],
  ["cutover", "silent", "b"],
  ["cutover", "one", "b@1"],
  ["fallback", "silent"],
  ["fallback", "one"],
  ["umount", "silent"],
  ["rm", "silent"],
  ["rm", "one"],
  ["adopt", "no-container-of-lxc", "b"],
  ["run", "b", "--rm", "--", "true"],
  ["run", "b", "-d", "--name", "background", "--", "sleep", "1000"],
  ["exec", "background", "--", "true"],
  ["logs", "background"],
  ["stop", "background", "--time", "0"],
  ["exec", "silent", "--", "true"],
  ["stop", "silent"],
  ["bundle", "b", join(host.dir, "written")],
  ["unshare", "true"],
  ["hook", "oci"],
  ["runtime", "--real", "runc", "--", "--version"],
  ["nri"],
  ["setup", "podman", "--dry-run"],
  ["unsetup", "podman", "--dry-run"],
  ["completion", "bash"],
  ["doctor"],
  ["gc"],
];

it("no verb is forgotten", () => {
  expect([...new Set(CALLS.map(([verb]) => verb))].sort()).toEqual(verbNames().sort());
});

it.each(CALLS)("veneer %s %s %s ends beside it", async (verb, ...words) => {
  const { status, stderr } = await within(
    host,
    ...verb.split(" "),
    ...words.filter((word) => word !== undefined),
  );
  // wrong usage or a refusal is an end as well; 124 and 137 are those of timeout
  expect([0, 1, 2], stderr).toContain(status);
});

it("the container went on, on the version that it was given", async () => {
  expect(await container.exec("cat /etc/version")).toBe("3");
});

it("an instance that is mounted by hand below a directory whose file system never answers is listed, and the rest too", async () => {
  const directory = join(host.dir, "of-a-user");
  mkdirSync(directory);
  await host.ok("create", "hand", "b@1");
  await host.ok("mount", "hand", join(directory, "m"));
  const server = spawn(join(host.dir, "programs/silent-fuse"), [directory], {
    stdio: ["ignore", "pipe", "ignore"],
    // a group of its own: the server has a child
    detached: true,
  });
  await new Promise((resolve) => server.stdout.once("data", resolve));
  try {
    for (const words of [
      ["ps"],
      ["ls"],
      ["inspect", "hand"],
      ["gc"],
      ["df"],
      ["mounted", "hand"],
      ["tree"],
      ["metrics"],
    ]) {
      const { status, stdout } = await within(host, ...words);
      expect(status, words.join(" ")).toBe(0);
      if (words[0] === "ls") expect(stdout).toMatch(/^hand .*mounted/m);
    }
  } finally {
    process.kill(-(server.pid as number), "SIGKILL");
    await must("umount", ["-l", directory]);
  }
  await host.ok("umount", "hand");
});

it("another container of the base starts and ends, and the base takes another version", async () => {
  const other = await begin(host, "runc wrapped", "exec sleep 1000", "other");
  expect(await within(host, "rebase", "other", "b@2")).toMatchObject({ status: 0 });
  await other.stop();
  expect(await within(host, "base", "import", "b", join(host.dir, "tree1"))).toMatchObject({ status: 0 });
});

it("exec looks a user up in a container whose /etc never answers, and ends", async () => {
  const programs = join(host.dir, "programs");
  const words = ["-d", "--name", "accounts", "-v", `${programs}:/programs:ro`, "--", "sleep", "1000"];
  const id = await host.ok("run", "b", ...words);
  await expect.poll(async () => (await host.veneer("exec", "-u", "root", id, "--", "true")).status).toBe(0);
  const rows = JSON.parse(await host.ok("ps", "--json")) as { container: string; pid: number }[];
  const pid = String(rows.find(({ container }) => container === id)?.pid);
  const inside = "test -e /dev/fuse || mknod /dev/fuse c 10 229; exec /programs/silent-fuse /etc";
  const server = spawn("nsenter", ["-t", pid, "-m", "--", "/bin/sh", "-c", inside], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  try {
    await new Promise((resolve) => server.stdout.once("data", resolve));
    const { status, stderr } = await within(host, "exec", "-u", "root", id, "--", "true");
    expect([status, stderr]).toEqual([1, expect.stringMatching(/accounts of container .* \[NO_ANSWER\]$/)]);
  } finally {
    process.kill(-(server.pid as number), "SIGKILL");
  }
  await host.ok("stop", id, "--time", "0");
});
