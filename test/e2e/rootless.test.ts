import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, PROGRAM, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { makeUser } from "../helpers/user.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
const user = makeUser(host);
const archive = join(host.dir, "tree.tar");

beforeAll(async () => {
  const tree = makeTree(join(host.dir, "tree"));
  await must("sh", [
    "-c",
    `cd "$1" && mkdir -m 700 var/lib/db && echo 1 >var/lib/db/rows && chown -R 33:34 var/lib/db && echo base >etc/which
    mkdir var/full && echo old >var/full/old && mknod dev/null c 1 3 && chown 1000:1000 home
    cp bin/busybox bin/suid && chown 1000 bin/suid && chmod 4755 bin/suid && setfattr -n user.note -v x etc/which
    tar --numeric-owner --xattrs -cf "$2" .`,
    "sh",
    tree,
    archive,
  ]);
});
afterAll(async () => {
  user.end();
  await host.remove();
});

const run = (...args: string[]) => user.veneer("run", "deb", ...args);
const script = (text: string, ...options: string[]) => run(...options, "--", "sh", "-c", text);
/** Whether a tmpfs of this kernel can be an upper in a user namespace. */
async function keepsAttributes(): Promise<boolean> {
  const { checks } = JSON.parse((await user.veneer("doctor", "--json")).stdout);
  const found = checks.find(({ name }: { name: string }) => name === "tmpfs keeps attributes of users");
  return found.status === "ok";
}

describe("a user without root", () => {
  it("imports a tar of many owners and says what it leaves out", async () => {
    const outcome = await user.veneer("base", "import", "deb", archive);
    expect(outcome).toMatchObject({ status: 0, stdout: "deb@1" });
    expect(outcome.stderr).toContain("1 device files are left out");
    expect(existsSync(join(user.store, "bases/deb"))).toBe(true);
    const [layer] = JSON.parse(await user.ok("base", "show", "deb", "--json")).layers;
    const rows = join(layer.path, "var/lib/db/rows");
    expect(await must("stat", ["-c", "%u:%g", rows])).toBe("500032:500033");
    expect((await user.sh("cat", [rows])).stderr).toContain("Permission denied");
  });

  it.each(["runc", "crun"])(
    "keeps a container in the background with %s, enters and stops it",
    async (runtime) => {
      const words = [
        "run",
        "deb",
        "-d",
        "--runtime",
        runtime,
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 1000",
      ];
      const id = await user.ok(...words);
      await waitFor(async () => (await user.veneer("logs", id)).stdout === "ready");
      expect(await user.ok("exec", "deb-", "--", "sh", "-c", "stat -c %u:%g /var/lib/db/rows")).toBe("33:34");
      await user.ok("stop", id, "--time", "0");
      expect((await user.veneer("logs", id)).status).toBe(1);
      expect(await user.ok("ps")).not.toContain(id);
    },
  );

  it.each(["runc", "crun"])(
    "runs a container with %s, in which owners are as in the tar",
    async (runtime) => {
      const text = `id -u; stat -c %u:%g /var/lib/db /home /bin/suid; cat /var/lib/db/rows; ls -A /tmp /root
      chown 7:8 /etc/which && stat -c %u:%g /etc/which; rm -rf /var/full; mkdir /var/full; ls /var/full
      ls /dev/null /sys/class >/dev/null && test ! -e /run/user && echo end; exit 3`;
      const outcome = await script(text, "--runtime", runtime);
      expect(outcome).toMatchObject({
        status: 3,
        stdout: "0\n33:34\n1000:1000\n1000:0\n1\n/root:\n\n/tmp:\n7:8\nend",
      });
      expect((await script("cat /etc/which; ls /var/full", "--runtime", runtime)).stdout).toBe("base\nold");
      await waitFor(() => readdirSync(join(user.store, "ephemeral")).length === 0);
    },
  );

  it("keeps what a named instance wrote: diff, ls, commit, clone, export, rm", async () => {
    await script(
      "rm -rf /var/full; mkdir /var/full; echo new >/var/full/new; chown 9 /var/full; rm /etc/which",
      "--name",
      "web",
    );
    expect((await user.ok("diff", "web")).split("\n").sort()).toEqual(
      expect.arrayContaining(["A /var/full/new", "D /etc/which", "D /var/full/old"]),
    );
    expect(await user.ok("ls")).toMatch(/^web +deb@1/m);
    expect(await user.ok("clone", "web", "web2")).toBe("web2");
    expect(await user.ok("commit", "web2", "deb")).toBe("deb@2");
    const seen = await script("ls /var/full; stat -c %u /var/full; ls /etc/which");
    expect(seen).toMatchObject({ stdout: "new\n9", stderr: expect.stringContaining("No such file") });
    expect((await user.veneer("base", "verify", "deb")).status).toBe(0);
    const file = join(user.home, "out.tar");
    await user.ok("base", "export", "deb", file);
    expect(await must("tar", ["--numeric-owner", "-tvf", file])).toMatch(/33\/34 .* var\/lib\/db\/rows/);
    await user.ok("base", "export", "deb", `oci:${join(user.home, "image")}`);
    expect(await user.ok("base", "import", "again", `oci:${join(user.home, "image")}`)).toBe("again@1");
    expect((await user.veneer("run", "again", "--", "ls", "-l", "/var/full")).stdout).toMatch(
      /^total.*\n\S+ +1 root .*new$/,
    );
    await user.ok("rm", "web2");
    expect(await user.ok("df")).toContain("web");
  });

  it("edits a base with a command", async () => {
    const edit = [
      "base",
      "edit",
      "deb",
      "--",
      "sh",
      "-c",
      "echo more >/etc/more; chown 5 /etc/more; ls /dev/null /proc/1",
    ];
    expect((await user.veneer(...edit)).stdout).toMatch(/deb@[0-9]+$/);
    expect((await script("cat /etc/more; stat -c %u /etc/more")).stdout).toBe("more\n5");
  });

  it("has an upper in memory, from Linux 6.6 on", async () => {
    const outcome = await script("echo mine >/mine; cat /mine /etc/more", "--tmpfs", "4m");
    if (await keepsAttributes())
      expect(outcome).toMatchObject({ status: 0, stdout: "mine\nmore", stderr: "" });
    else
      expect(outcome).toMatchObject({
        status: 1,
        stdout: "",
        stderr: expect.stringMatching(/^veneer: start [^\n]*in memory[^\n]*; hint: [^\n]*Linux 6\.6[^\n]*$/),
      });
  });

  it("sees its containers in other namespaces, refuses a second one on an upper, hands signals on", async () => {
    const words = [
      "env",
      "-i",
      ...Object.entries(user.env).map(([key, value]) => `${key}=${value}`),
      "veneer",
    ];
    const child = execa(
      "unshare",
      [
        ...user.prefix,
        ...words,
        "run",
        "deb",
        "--name",
        "long",
        ...((await keepsAttributes()) ? ["--tmpfs", "4m"] : []),
        "--",
        "sh",
        "-c",
        "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done",
      ],
      { reject: false, stdin: "ignore", cwd: "/" },
    );
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
    });
    await waitFor(() => said.includes("ready") || child.exitCode !== null);
    if (child.exitCode !== null) throw new Error((await child).stderr);
    expect(await user.ok("ps")).toMatch(/^long /m);
    expect(await user.ok("ls")).toMatch(/^long .*running/m);
    const second = await run("--name", "long", "--", "true");
    expect(second).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/long is held by container long/),
    });
    expect((await user.veneer("gc")).status).toBe(0);
    expect(await user.ok("ps")).toMatch(/^long /m);
    child.kill("SIGTERM");
    expect((await child).exitCode).toBe(9);
    await user.ok("rm", "long");
    expect(await user.ok("ps", "--json")).toBe("[]");
  });

  it("puts a running container on another version", async () => {
    const words = [
      "env",
      "-i",
      ...Object.entries(user.env).map(([key, value]) => `${key}=${value}`),
      "veneer",
    ];
    // what a first try left
    await user.veneer("rm", "live");
    await user.ok("create", "live", "deb");
    const text =
      "trap 'exit 9' TERM; echo mine >/mine; exec 5>>/log; while :; do ls /etc/newer 2>/dev/null; echo on; echo line >&5; echo \"log $(wc -l </log)\"; sleep 0.05; done";
    const child = execa(
      "unshare",
      [...user.prefix, ...words, "run", "deb", "--name", "live", "--", "sh", "-c", text],
      {
        reject: false,
        stdin: "ignore",
        cwd: "/",
      },
    );
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
    });
    await waitFor(() => said.includes("on") || child.exitCode !== null);
    if (child.exitCode !== null) throw new Error((await child).stderr);
    const to = await user.ok("base", "edit", "deb", "--", "touch", "/etc/newer");
    const moved = await user.veneer("rebase", "live", "deb");
    expect(moved).toMatchObject({ status: 0, stderr: expect.stringContaining(`instance live is on ${to}`) });
    await waitFor(() => said.includes("/etc/newer"));
    // what goes on through the descriptor of before is seen under the name in the new root
    const lines = () => Number(/.*log (\d+)\n/s.exec(said)?.[1]);
    const seen = lines();
    await waitFor(() => lines() > seen + 3);
    expect(await user.ok("diff", "live")).toContain("A /mine");
    child.kill("SIGTERM");
    expect((await child).exitCode).toBe(9);
    expect((await run("--name", "live", "--", "sh", "-c", "cat /mine; ls /etc/newer")).stdout).toBe(
      "mine\n/etc/newer",
    );
    // its parts are merged when it ends
    const { store } = user;
    const file = join(store, "instances/live/instance.json");
    await expect.poll(() => readFileSync(file, "utf8")).not.toContain('"parts"');
    await expect.poll(() => readdirSync(join(store, "instances/live/1"))).not.toContain("parts");
    expect(await user.ok("diff", "live")).toContain("A /mine");
    await user.ok("rm", "live");
  });

  it("mounts in a shell of veneer unshare alone", async () => {
    expect(await user.veneer("mount", "web")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("hint: 'veneer unshare' gives a shell in which it stays"),
    });
    const text =
      'm=$(veneer mount web) && cat "$m/var/full/new" && echo outside >"$m/etc/outside" && veneer umount web';
    expect(await user.ok("unshare", "--", "sh", "-c", text)).toBe("new");
    expect((await script("cat /etc/outside", "--name", "web")).stdout).toBe("outside");
    // what nobody unmounted is gone with its namespace
    await user.ok("unshare", "--", "veneer", "mount", "web");
    expect((await script("cat /etc/outside", "--name", "web")).stdout).toBe("outside");
    const session = 'd=$(veneer base edit deb) && echo hand >"$d/etc/hand" && veneer base commit deb';
    expect(await user.ok("unshare", "--", "sh", "-c", session)).toBe("deb@5");
  });

  it("has a terminal with -t", async () => {
    const outcome = await user.sh("script", [
      "-qec",
      "veneer run deb -t -- sh -c 'tty; exit 4'",
      "/dev/null",
    ]);
    expect(outcome).toMatchObject({ status: 4, stdout: expect.stringContaining("/dev/pts/0") });
  });

  it("leaves nothing behind", async () => {
    await user.ok("rm", "web");
    await user.ok("gc");
    for (const place of ["ephemeral", "staging", "trash", "instances"]) {
      expect([place, readdirSync(join(user.store, place))]).toEqual([place, []]);
    }
    expect((await sh("findmnt", ["-rno", "TARGET"])).stdout).not.toContain(user.home);
  });
});

describe("what a user is told", () => {
  it("where each setting comes from", async () => {
    const rows = JSON.parse(await user.ok("config", "--json")) as {
      key: string;
      value: string;
      from: string;
    }[];
    const find = (key: string) => rows.find((row) => row.key === key);
    expect(find("root")).toMatchObject({ value: user.store, from: "default" });
    expect(find("run")).toMatchObject({ value: user.run, from: "XDG_RUNTIME_DIR" });
  });

  it("that a session has a directory for running things", async () => {
    const none = { XDG_RUNTIME_DIR: join(host.dir, "none") };
    expect(await user.sh("veneer", ["ls"], { env: none })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/XDG_RUNTIME_DIR .*none' does not exist; hint: .*linger/),
    });
    const unset = { XDG_RUNTIME_DIR: "" };
    expect(await user.sh("veneer", ["base", "ls"], { env: unset })).toMatchObject({ status: 0 });
    const run = { XDG_RUNTIME_DIR: "", VENEER_RUN: join(user.home, "run") };
    expect(await user.sh("veneer", ["base", "ls"], { env: run })).toMatchObject({ status: 0 });
  });

  it("that owners need ids, unless they are squashed", async () => {
    const poor = makeUser(host, { uid: 47111, subordinate: undefined });
    const refused = await poor.veneer("base", "import", "deb", archive);
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/no ids besides its own; hint: .*--squash/),
    });
    expect(await poor.ok("base", "import", "deb", archive, "--squash")).toBe("deb@1");
    const seen = await poor.veneer(
      "run",
      "deb",
      "--",
      "sh",
      "-c",
      "stat -c %u:%g /var/lib/db /home; cat /var/lib/db/rows; rm -rf /var/lib/db",
    );
    expect(seen).toMatchObject({ status: 0, stdout: "0:0\n0:0\n1" });
    poor.end();
  });

  it("that files of others cannot be copied with their owners", async () => {
    const directory = join(host.dir, "of-root");
    mkdirSync(directory);
    writeFileSync(join(directory, "file"), "x");
    const refused = await user.veneer("base", "import", "other", directory);
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/belongs to somebody else .*hint: let root pack it/),
    });
    expect(await user.ok("base", "import", "other", directory, "--squash")).toBe("other@1");
  });

  it("that a store keeps the kind of marks that it was made with", async () => {
    const root = join(host.dir, "of-root-store");
    await must(PROGRAM, ["--root", root, "--run", host.run, "base", "import", "b", join(host.dir, "tree")]);
    const inside = [PROGRAM, "--root", root, "--run", host.run, "create", "i", "b"];
    expect((await sh("unshare", ["--user", "--map-root-user", "--mount", ...inside])).stderr).toContain(
      "has overlayfs attributes in trusted.overlay.*",
    );
    await must("cp", ["-a", user.store, join(host.dir, "copied")]);
    await must("chown", ["-R", "0:0", join(host.dir, "copied")]);
    const copied = await sh(PROGRAM, [
      "--root",
      join(host.dir, "copied"),
      "--run",
      host.run,
      "create",
      "i",
      "deb",
    ]);
    expect(copied.stderr).toContain("has overlayfs attributes in user.overlay.*");
  });

  it("that a command ends with who waits for it, and gc frees what it left", async () => {
    const words = [
      "env",
      "-i",
      ...Object.entries(user.env).map(([key, value]) => `${key}=${value}`),
      "veneer",
    ];
    const child = execa("unshare", [...user.prefix, ...words, "base", "import", "slow", "-"], {
      reject: false,
      cwd: "/",
      stdin: "pipe",
    });
    const archive = await execa("tar", ["-cC", "/bin", "busybox"], { encoding: "buffer" });
    child.stdin.write(archive.stdout.subarray(0, 256 * 1024));
    const staging = join(user.store, "staging");
    await waitFor(() => readdirSync(staging).length > 0);
    // setpriv became the program, which waits for the one in the namespace
    child.kill("SIGKILL");
    await child;
    await waitFor(async () => {
      await user.ok("gc");
      return readdirSync(staging).length === 0;
    });
    expect(await user.ok("base", "ls")).not.toContain("slow");
  });

  it("that root has another store", async () => {
    const refused = await sh(PROGRAM, ["--root", user.store, "--run", host.run, "gc"]);
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`belongs to uid ${user.uid}`),
    });
  });
});
