import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { makeUser } from "../helpers/user.ts";

const host = makeHost();
const user = makeUser(host, { uid: 47130 });
const path = join(user.home, "lxc");

/** The user itself is root in the container; other ids are the user's. */
const OWN = ["u", "g"].flatMap((kind) => [
  `lxc.idmap = ${kind} 0 ${user.uid} 1`,
  `lxc.idmap = ${kind} 1 500000 65535`,
]);

async function container(name: string, hook: string, idmap = OWN, globals = ""): Promise<void> {
  const directory = join(path, name);
  await user.sh("mkdir", ["-p", join(directory, "rootfs")]);
  const lines = [
    `lxc.rootfs.path = dir:${directory}/rootfs`,
    "lxc.net.0.type = empty",
    "lxc.mount.auto = proc",
    ...idmap,
    "lxc.hook.version = 1",
    `lxc.hook.pre-mount = ${user.bin}/veneer ${globals} hook lxc ${hook}`,
    ...(globals === "" ? [`lxc.hook.post-stop = ${user.bin}/veneer hook lxc`] : []),
  ];
  writeFileSync(join(directory, "config"), `${lines.join("\n")}\n`);
}

const execute = (name: string, text: string) =>
  user.sh("lxc-execute", ["-P", path, "-n", name, "-o", join(user.home, "log"), "--", "/bin/sh", "-c", text]);

beforeAll(async () => {
  const archive = join(host.dir, "tree.tar");
  const text =
    'cd "$1" && echo base >etc/which && chown 33:34 home && chmod 700 home && tar --numeric-owner -cf "$2" .';
  await must("sh", ["-c", text, "sh", makeTree(join(host.dir, "tree")), archive]);
  await user.ok("base", "import", "b", archive);
});
afterAll(async () => {
  user.end();
  await host.remove();
});

describe("LXC of a user without root", () => {
  it("gives a container the user's base, with its owners", async () => {
    await container("web", "--base b");
    const outcome = await execute(
      "web",
      "id -u; cat /etc/which; stat -c %u:%g /home; touch /home/x; chown 7 /etc/which; ls -A /tmp",
    );
    expect(outcome).toMatchObject({ status: 0, stdout: "0\nbase\n33:34" });
    expect((await execute("web", "stat -c %u /etc/which; ls /home")).stdout).toBe("0");
  });

  it("leaves nothing that gc does not free", async () => {
    expect(readdirSync(join(user.store, "ephemeral"))).toEqual([]);
    expect(readdirSync(join(host.dir, user.name, "runtime/veneer/records"))).toEqual([]);
    await user.ok("gc");
    expect(readdirSync(join(user.store, "trash"))).toEqual([]);
  });

  it("keeps what it wrote in an instance that veneer knows too", async () => {
    await container("kept", "--base b --persistent");
    await execute("kept", "echo it >/kept; chown 5 /kept");
    expect((await execute("kept", "cat /kept; stat -c %u /kept")).stdout).toBe("it\n5");
    expect(await user.ok("diff", "kept")).toContain("A /kept");
    expect((await user.veneer("run", "b", "--name", "kept", "--", "stat", "-c", "%u", "/kept")).stdout).toBe(
      "5",
    );
    await user.ok("rm", "kept");
  });

  it("refuses a container whose root is not the user, and says how it can be", async () => {
    const shifted = ["u", "g"].map((kind) => `lxc.idmap = ${kind} 0 500000 65536`);
    await container("shifted", "--base b", shifted);
    // LXC of Debian lets its containers pass the home directory
    await user.sh("chmod", ["711", user.home]);
    const outcome = await execute("shifted", "true");

    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/container shifted is unprivileged .*hint: .*lxc.idmap = u 0 UID 1/);
  });

  it("takes a store of its own for such containers", async () => {
    const map = ["-m", "u:0:500000:65536", "-m", "g:0:500000:65536"];
    const withUser = [...map, "-m", `u:65536:${user.uid}:1`, "-m", `g:65536:${user.uid}:1`];
    const place = join(user.home, "shifted");
    await user.sh("mkdir", [place]);
    await user.sh("lxc-usernsexec", [...withUser, "--", "chown", "0:0", place]);
    const globals = ["--root", join(place, "store"), "--run", join(place, "run")];
    const veneer = (...words: string[]) =>
      user.sh("lxc-usernsexec", [...map, "--", join(user.bin, "veneer"), ...globals, ...words]);
    expect(await veneer("base", "import", "b", join(host.dir, "tree.tar"))).toMatchObject({
      status: 0,
      stdout: "b@1",
    });
    const shifted = ["u", "g"].map((kind) => `lxc.idmap = ${kind} 0 500000 65536`);
    await container("other", "--base b --persistent", shifted, globals.join(" "));
    expect((await execute("other", "stat -c %u:%g /home; echo it >/kept")).stdout).toBe("33:34");
    expect((await execute("other", "cat /kept")).stdout).toBe("it");
    expect((await veneer("diff", "other")).stdout).toContain("A /kept");
  });
});
