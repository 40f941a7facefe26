/** containerd with the wrapping runtime, driven by ctr. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label, makeImage } from "../helpers/app-image.ts";
import { type Containerd, startContainerd } from "../helpers/containerd.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
let containerd: Containerd;
const IMAGE = "localhost/app:latest";
const ON_BASE = ["--annotation", "run.veneer.base=debian"];

beforeAll(async () => {
  await host.ok("base", "import", "debian", label(makeTree(join(host.dir, "base")), "base"));
  const archive = await makeImage(host.dir, "app", label(makeTree(join(host.dir, "image")), "image"));
  containerd = await startContainerd(host);
  expect(await containerd.ctr("image", "import", "--base-name", "localhost/app", archive)).toMatchObject({
    status: 0,
  });
});

afterAll(async () => {
  await containerd?.stop();
  await host.remove();
});

/** The teardown deletes behind the container's end. */
async function expectNothingLeft(): Promise<void> {
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(veneerOverlays()).toEqual([]);
}

describe("ctr run", () => {
  it("gives the container the base, and its exit status", async () => {
    const script = "cat /etc/which; ls -A /tmp /root; echo mine >/etc/which; exit 7";
    const result = await containerd.run("--rm", ...ON_BASE, IMAGE, "c1", "/bin/sh", "-c", script);
    expect(result).toMatchObject({ status: 7, stdout: "base\n/root:\n\n/tmp:" });
    await expectNothingLeft();
    expect(await containerd.run("--rm", ...ON_BASE, IMAGE, "c1", "/bin/cat", "/etc/which")).toMatchObject({
      stdout: "base",
    });
    await expectNothingLeft();
  });

  it("leaves a container alone that names no base", async () => {
    const result = await containerd.run("--rm", IMAGE, "c2", "/bin/cat", "/etc/which");
    expect(result).toMatchObject({ status: 0, stdout: "image" });
    await expectNothingLeft();
  });

  it("takes a plain directory as the root", async () => {
    const empty = join(host.dir, "empty");
    mkdirSync(empty, { recursive: true });
    const result = await containerd.run(
      "--rm",
      "--rootfs",
      ...ON_BASE,
      empty,
      "c3",
      "/bin/cat",
      "/etc/which",
    );
    expect(result).toMatchObject({ status: 0, stdout: "base" });
    await expectNothingLeft();
  });

  it("gives a terminal and its size", async () => {
    const words = ["ctr", "-a", containerd.socket, "run", "-t", "--rm"];
    words.push("--runc-binary", join(host.bin, "veneer-runc"), ...ON_BASE, IMAGE, "c4", "/bin/sh", "-c");
    // ctr sets the size when the container has begun
    const inside = 'until [ "$(stty size)" = "33 99" ]; do sleep 0.1; done; tty; cat /etc/which';
    const outside = `stty rows 33 cols 99; timeout --foreground -s KILL 60 ${words.join(" ")} '${inside}'`;
    // script(1) hangs up when its own input ends: one that is open for writing too never does
    const fifo = join(host.dir, "no-input");
    const command = 'rm -f "$2"; mkfifo "$2" && exec script -qec "$1" /dev/null <>"$2"';
    const result = await sh("sh", ["-c", command, "sh", outside, fifo], { env: { PATH: host.path } });
    expect(result.stdout.replaceAll("\r", "")).toContain("/dev/pts/0\nbase");
    expect(result.status).toBe(0);
    await expectNothingLeft();
  });

  it("hands on what is written to it", async () => {
    const words = ["ctr", "-a", containerd.socket, "run", "--rm", "--runc-binary", `${host.bin}/veneer-runc`];
    words.push(...ON_BASE, IMAGE, "c5", "/bin/sh", "-c");
    const [file = "", ...args] = [...words, 'echo ready; read line; echo "got $line"'];
    const child = execa(file, args, { env: { PATH: host.path }, reject: false, timeout: 120_000 });
    child.stdout.once("data", () => child.stdin.write("hello\n"));
    const { exitCode, stdout } = await child;
    expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: "ready\ngot hello" });
    await expectNothingLeft();
  });

  it("shows our message when the base cannot be had", async () => {
    const missing = await containerd.run(
      "--rm",
      "--annotation",
      "run.veneer.base=nope",
      IMAGE,
      "c6",
      "/bin/true",
    );
    expect(missing.status).toBe(1);
    expect(missing.stderr).toContain(`veneer: start c6: no base nope in ${host.root}; hint: `);
    const typo = await containerd.run(
      "--rm",
      "--annotation",
      "run.veneer.bse=debian",
      IMAGE,
      "c7",
      "/bin/true",
    );
    expect(typo.status).toBe(1);
    expect(typo.stderr).toContain("veneer: annotation 'run.veneer.bse': unknown key");
    await expectNothingLeft();
    expect((await containerd.ctr("container", "ls", "-q")).stdout).toBe("");
  });
});

describe("run.veneer.rootfs=layer", () => {
  const LAYERED = [...ON_BASE, "--annotation", "run.veneer.rootfs=layer"];
  const SCRIPT = "cat /etc/which /of-the-image /of-the-base; echo >/of-the-image; rm /etc/which; ls -A /tmp";

  beforeAll(async () => {
    const base = label(makeTree(join(host.dir, "base2")), "base");
    writeFileSync(join(base, "of-the-base"), "below\n");
    await host.ok("base", "import", "debian", base);
  });

  it("puts the image's files above the base's, and changes neither", async () => {
    const app = join(host.dir, "app only");
    mkdirSync(join(app, "etc"), { recursive: true });
    writeFileSync(join(app, "of-the-image"), "above\n");
    writeFileSync(join(app, "etc/which"), "image\n");
    const archive = await makeImage(host.dir, "small", app);
    await containerd.ctr("image", "import", "--base-name", "localhost/small", archive);
    const small = "localhost/small:latest";
    for (const id of ["l1", "l2"]) {
      const result = await containerd.run("--rm", ...LAYERED, small, id, "/bin/sh", "-c", SCRIPT);
      expect(result).toMatchObject({ status: 0, stdout: "image\nabove\nbelow" });
    }
    const plain = await containerd.run("--rm", ...LAYERED, "--rootfs", app, "l3", "/bin/sh", "-c", SCRIPT);
    expect(plain).toMatchObject({ status: 0, stdout: "image\nabove\nbelow" });
    expect(readFileSync(join(app, "of-the-image"), "utf8")).toBe("above\n");
    await expectNothingLeft();
  });

  it("says so when the kernel does not stack that many overlays", async () => {
    const [lower, once, twice] = ["lower", "once", "twice"].map((name) => join(host.dir, name));
    for (const dir of [lower, once, twice, `${lower}2`]) mkdirSync(dir as string);
    await must("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${lower}:${lower}2`, once as string]);
    await must("mount", ["-t", "overlay", "overlay", "-o", `lowerdir=${once}:${lower}2`, twice as string]);
    const result = await containerd.run("--rm", "--rootfs", ...LAYERED, twice as string, "l4", "/bin/true");
    expect(result.status).toBe(1);
    expect(result.stderr).toMatch(/veneer: start l4: .*EINVAL.*the kernel stacks two at most/);
    await must("umount", [twice as string]);
    await must("umount", [once as string]);
    await expectNothingLeft();
  });

  it("is refused for an upper that outlives the image's mount", async () => {
    const named = [...LAYERED, "--annotation", "run.veneer.upper=persistent"];
    const result = await containerd.run("--rm", ...named, IMAGE, "l5", "/bin/true");
    expect(result.stderr).toContain("run.veneer.rootfs=layer needs an ephemeral upper; hint: ");
    await expectNothingLeft();
  });
});

describe("a task that runs", () => {
  it("is entered by exec, seen by ps, killed, and leaves nothing", async () => {
    const started = await containerd.run(
      "-d",
      ...ON_BASE,
      IMAGE,
      "web",
      "/bin/sh",
      "-c",
      "echo >/etc/up; sleep 100",
    );
    expect(started).toMatchObject({ status: 0 });
    await expect
      .poll(() =>
        containerd.ctr(
          "task",
          "exec",
          "--exec-id",
          `x${Date.now()}`,
          "web",
          "/bin/cat",
          "/etc/which",
          "/etc/up",
        ),
      )
      .toMatchObject({ status: 0, stdout: "base\n" });
    const exec = await containerd.ctr("task", "exec", "--exec-id", "y", "web", "/bin/sh", "-c", "exit 9");
    expect(exec.status).toBe(9);
    expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([
      { container: "web", engine: "runtime" },
    ]);
    expect((await containerd.ctr("task", "pause", "web")).status).toBe(0);
    expect((await containerd.ctr("task", "resume", "web")).status).toBe(0);
    expect((await containerd.ctr("task", "kill", "-s", "KILL", "web")).status).toBe(0);
    await expect.poll(async () => (await containerd.ctr("task", "ls")).stdout).toContain("STOPPED");
    expect((await containerd.ctr("task", "rm", "web")).status).toBe(0);
    await expectNothingLeft();
    expect((await containerd.ctr("task", "start", "-d", "web")).status).toBe(0);
    await expect
      .poll(() => containerd.ctr("task", "exec", "--exec-id", "z", "web", "/bin/cat", "/etc/which"))
      .toMatchObject({ stdout: "base" });
    expect((await containerd.ctr("task", "rm", "-f", "web")).status).toBe(0);
    expect((await containerd.ctr("container", "rm", "web")).status).toBe(0);
    await expectNothingLeft();
  });

  it("is a named instance's only one, and the next one finds its changes", async () => {
    const named = [
      ...ON_BASE,
      "--annotation",
      "run.veneer.instance=db",
      "--annotation",
      "run.veneer.upper=persistent",
    ];
    expect(
      await containerd.run("-d", ...named, IMAGE, "db1", "/bin/sh", "-c", "echo kept >/etc/kept; sleep 100"),
    ).toMatchObject({ status: 0 });
    const second = await containerd.run("--rm", ...named, IMAGE, "db2", "/bin/true");
    expect(second.status).toBe(1);
    expect(second.stderr).toContain("instance db is held by container db1");
    await expect.poll(() => host.ok("diff", "db")).toContain("/etc/kept");
    await containerd.ctr("task", "rm", "-f", "db1");
    await containerd.ctr("container", "rm", "db1");
    expect(await containerd.run("--rm", ...named, IMAGE, "db2", "/bin/cat", "/etc/kept")).toMatchObject({
      status: 0,
      stdout: "kept",
    });
    await host.ok("rm", "db");
    await expectNothingLeft();
  });

  it("goes with a shim that was killed", async () => {
    await containerd.run("-d", ...ON_BASE, IMAGE, "lost", "/bin/sleep", "100");
    const { stdout } = await sh("pgrep", [
      "-f",
      `containerd-shim-runc-v2 .*-id lost -address ${containerd.socket}`,
    ]);
    expect(stdout).toMatch(/^[0-9]+$/);
    const task = join(containerd.socket, "../state/io.containerd.runtime.v2.task/default/lost");
    const socket = readFileSync(join(task, "address"), "utf8").slice("unix://".length);
    process.kill(Number(stdout), "SIGKILL");
    // containerd calls the shim's binary once more, and that the runtime's delete --force
    await expect.poll(async () => (await containerd.ctr("task", "ls", "-q")).stdout).toBe("");
    await containerd.ctr("container", "rm", "lost");
    await expectNothingLeft();
    // the shim's own, in a place that all daemons share
    rmSync(socket, { force: true });
  });
});
