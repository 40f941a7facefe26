import { chownSync, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { attack } from "../helpers/attacker.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { makeUser } from "../helpers/user.ts";
import { waitFor } from "../helpers/wait.ts";

/** Where users look: what is shared on the test's host is bound there for their processes. */
const SHARED = "/run/veneer-shared";
const host = makeHost();
const alice = makeUser(host, { uid: 47120, subordinate: 500_000 });
const bob = makeUser(host, { uid: 47121, subordinate: 600_000 });
const place = `${host.run}-shared`;

beforeAll(async () => {
  mkdirSync(SHARED, { recursive: true });
  const tree = makeTree(join(host.dir, "tree"));
  const text = `cd "$1" && mkdir -m 700 var/lib/db && echo 1 >var/lib/db/rows && chown -R 33:34 var/lib/db
    mkdir var/full && echo old >var/full/old && echo base >etc/which`;
  await must("sh", ["-c", text, "sh", tree]);
  await host.ok("base", "import", "deb", tree);
  const edit =
    "rm -rf /var/full; mkdir /var/full; echo new >/var/full/new; cp /bin/busybox /bin/suid; chmod 4755 /bin/suid";
  await host.ok("base", "edit", "deb", "--", "sh", "-c", edit);
});
afterAll(async () => {
  for (const base of ["deb", "plain"]) await host.veneer("base", "unshare", base, "--force");
  rmdirSync(SHARED);
  for (const user of [alice, bob]) user.end();
  await host.remove();
});

const shared = (line: string) => / shared$/m.test(line);
/** What mountinfo has of the mounts that an audience has. */
const mounts = async (audience: string | number) =>
  (await must("findmnt", ["-rno", "TARGET,OPTIONS"]))
    .split("\n")
    .filter((line) => line.startsWith(`${place}/${audience}/`));

describe("a base shared with a user", () => {
  it("is mounted for that user once, read-only, nosuid, nodev, with the user's ids", async () => {
    for (const who of [alice.name, alice.name]) await withAccounts(alice, ["base", "share", "deb", who]);
    const [line = "", ...more] = await mounts(alice.uid);
    expect(more).toEqual([]);
    expect(line).toMatch(/ ro,nosuid,nodev,.*idmapped/);
    const bad = await host.veneer("base", "share", "deb", "nobody-of-that-name");
    expect(bad).toMatchObject({ status: 2, stderr: expect.stringContaining("not known on this machine") });
  });

  it("is listed and run by that user, with its owners and without what a lower layer has in an opaque directory", async () => {
    expect(shared(await alice.ok("base", "ls"))).toBe(true);
    expect(JSON.parse(await alice.ok("base", "ls", "--json"))).toMatchObject([
      { name: "deb", version: 2, shared: true },
    ]);
    const text = `stat -c %u:%g /var/lib/db /bin/sh; cat /var/lib/db/rows; ls /var/full; stat -c %a /bin/suid
      chown 5 /etc/which && echo mine >/etc/which && cat /etc/which; ls -A /tmp`;
    const outcome = await alice.veneer("run", "deb", "--", "sh", "-c", text);
    expect(outcome).toMatchObject({ status: 0, stdout: "33:34\n0:0\n1\nnew\n4755\nmine" });
  });

  it("is out of reach for other users, and its programs gain nothing on the host", async () => {
    expect(JSON.parse(await bob.ok("base", "ls", "--json"))).toEqual([]);
    expect((await bob.sh("ls", [`${SHARED}/${alice.uid}`])).stderr).toContain("Permission denied");
    expect((await bob.veneer("run", "deb", "--", "true")).stderr).toContain("no base deb");
    const [layer] = readdirSync(join(place, String(alice.uid), "layers"));
    const directory = `${SHARED}/${alice.uid}/layers/${layer}`;
    expect((await alice.sh("sh", ["-c", `echo x >${directory}/etc/which`])).stderr).toMatch(
      /Read-only|Permission denied/,
    );
    const remount = `mount -o remount,bind,rw,suid ${directory} || umount ${directory}`;
    expect((await alice.sh("unshare", ["-Urm", "sh", "-c", remount])).status).not.toBe(0);
    expect((await alice.sh("chmod", ["777", `${SHARED}/${alice.uid}`])).status).not.toBe(0);
  });

  it("is not changed by that user, who stacks bases of its own on it", async () => {
    const hint = expect.stringMatching(
      /belongs to root, who shares it with users; hint: 'veneer base new NAME --from deb'/,
    );
    expect(await alice.veneer("base", "edit", "deb", "--", "true")).toMatchObject({
      status: 1,
      stderr: hint,
    });
    for (const words of [
      ["rm", "deb"],
      ["use", "deb@1"],
      ["verify", "deb"],
    ]) {
      const refused = await alice.veneer("base", ...words);
      expect(refused).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("belongs to root, who shares it with users"),
      });
    }
    await alice.veneer("run", "deb", "--name", "web", "--", "sh", "-c", "rm -r /var/lib/db; echo it >/kept");
    expect(await alice.veneer("commit", "web", "deb")).toMatchObject({ status: 1, stderr: hint });
    expect(await alice.ok("commit", "web", "mine")).toBe("mine@1");
    const seen = await alice.veneer("run", "mine", "--", "sh", "-c", "cat /kept; ls /var/lib /var/full");
    expect(seen.stdout).toBe("it\n/var/full:\nnew\n\n/var/lib:");
  });

  it("follows the base of root, and the earlier version stays for those who are on it", async () => {
    await withAccounts(alice, ["base", "edit", "deb", "--", "sh", "-c", "echo three >/etc/which"]);
    expect((await alice.veneer("run", "deb", "--", "cat", "/etc/which")).stdout).toBe("three");
    expect((await alice.veneer("run", "deb@2", "--name", "web", "--", "cat", "/etc/which")).stdout).toBe(
      "base",
    );
    expect(await alice.ok("ls")).toMatch(/^web +deb@2 +1 /m);
  });

  it("is not removed, nor taken back while a container of the user runs on it", async () => {
    expect((await host.veneer("base", "rm", "deb@2")).stderr).toContain(
      "used by users that it is shared with",
    );
    expect((await host.veneer("gc")).status).toBe(0);
    const words = Object.entries(alice.env).map(([key, value]) => `${key}=${value}`);
    const command = [
      "veneer",
      "run",
      "deb",
      "--",
      "sh",
      "-c",
      "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done",
    ];
    const child = execa("unshare", [...alice.prefix, "env", "-i", ...words, ...command], {
      reject: false,
      stdin: "ignore",
      cwd: "/",
    });
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
    });
    await waitFor(() => said.includes("ready"));
    const refused = await host.veneer("base", "unshare", "deb");
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/base deb is used by process [0-9]+ of user 47120; hint/),
    });
    child.kill("SIGTERM");
    await child;
  });

  it("is taken back although others name its layers in their mount tables", async () => {
    const before = await mounts(alice.uid);
    await host.ok("base", "import", "named", join(host.dir, "tree"));
    await withAccounts(alice, ["base", "share", "named", alice.name]);
    const [layer] = (await mounts(alice.uid))
      .filter((line) => !before.includes(line))
      .map((line) => line.split(" ")[0]);
    const liar = await attack(`mount -t tmpfs t /tmp; mkdir -p '${layer}' l m
      mount -t overlay t -o 'lowerdir=${layer}:l' m; grep -q '${layer}' /proc/self/mountinfo; echo ready; exec sleep 1000`);
    try {
      await host.ok("base", "unshare", "named");
    } finally {
      await liar.stop();
    }
  });

  it("comes back after a reboot, with mount --all", async () => {
    for (const line of await mounts(alice.uid)) await must("umount", [line.split(" ")[0] as string]);
    await must("rm", ["-rf", join(place, String(alice.uid))]);
    expect((await alice.veneer("run", "deb", "--", "true")).stderr).toContain("no base deb");
    await withAccounts(alice, ["mount", "--all"]);
    expect((await alice.veneer("run", "deb", "--", "cat", "/etc/which")).stdout).toBe("three");
    expect((await alice.veneer("run", "mine", "--", "cat", "/kept")).stdout).toBe("it");
  });

  it("is taken back, and with it what nothing else needs", async () => {
    expect(await host.ok("base", "unshare", "deb@2")).toBe("");
    expect(await mounts(alice.uid)).toHaveLength(1);
    await host.ok("base", "unshare", "deb");
    expect(readdirSync(place)).toEqual([]);
    expect((await alice.veneer("run", "deb", "--", "true")).stderr).toContain("no base deb");
    expect((await alice.veneer("run", "mine", "--", "true")).stderr).toContain("layer of mine@1: ENOENT");
    await host.ok("base", "rm", "deb@2");
    expect((await host.veneer("base", "unshare", "deb")).stderr).toContain("base deb is not shared");
  });
});

describe("a base shared with all", () => {
  it("can be read by every user, and little of it changed", async () => {
    await host.ok("base", "import", "plain", join(host.dir, "tree"));
    await host.ok("base", "share", "plain");
    expect(await mounts("all")).toHaveLength(1);
    const text =
      "cat /etc/which; cat /var/lib/db/rows; echo x >/etc/which; echo ok >/tmp/file && cat /tmp/file; echo x >/new && echo end";
    for (const user of [alice, bob]) {
      const outcome = await user.veneer("run", "plain", "--", "sh", "-c", text);
      expect(outcome).toMatchObject({ status: 0, stdout: "base\nok\nend" });
      expect(outcome.stderr).toMatch(/rows.*Permission denied[\s\S]*which: Permission denied/);
    }
    await host.ok("base", "unshare", "plain");
    expect(existsSync(join(place, "all"))).toBe(false);
  });

  it("is not put where others can write", async () => {
    rmSync(place, { recursive: true, force: true });
    mkdirSync(place);
    chownSync(place, bob.uid, bob.uid);
    expect((await host.veneer("base", "share", "plain")).stderr).toContain(
      `${place} can be changed by other users`,
    );
    rmdirSync(place);
  });

  it("is none in place", async () => {
    const directory = join(host.dir, "living");
    mkdirSync(directory);
    writeFileSync(join(directory, "file"), "x");
    await host.ok("base", "import", "living", directory, "--in-place");
    expect((await host.veneer("base", "share", "living")).stderr).toContain(
      "a living directory is not shared",
    );
    expect((await alice.veneer("base", "share", "plain")).stderr).toContain("bases are shared by root");
  });
});

/** `veneer` of root where the user has an account: bound over the test's own files for the time of the call. */
async function withAccounts(user: typeof alice, words: readonly string[]): Promise<void> {
  const files = ["passwd", "group", "subuid", "subgid"];
  for (const file of files) await must("mount", ["--bind", join(host.dir, user.name, file), `/etc/${file}`]);
  try {
    await host.ok(...words);
  } finally {
    for (const file of files) await sh("umount", [`/etc/${file}`]);
  }
}
