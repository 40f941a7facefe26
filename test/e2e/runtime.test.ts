/** The wrapping runtime in front of the real ones. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { type Config, detach, makeBundle, nextId, runtime as plain, RUNTIMES } from "../helpers/bundle.ts";
import { makeHost, PROJECT, plainCrun, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { mountTable } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";
import { storeArguments, wrapped } from "../helpers/wrapper.ts";

const host = makeHost();
let tree: string;
let mountsBefore: string[];

const crun = plainCrun(host);

beforeAll(async () => {
  makeBase(host, "b");
  tree = makeTree(join(host.dir, "plain"));
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});
beforeEach(() => {
  mountsBefore = mountTable();
});
afterEach(async () => {
  expect(mountTable()).toEqual(mountsBefore);
  await expect.poll(() => leftovers(host)).toEqual([]);
});

let count = 0;
const bundle = (command: string, edit: (config: Config) => void = () => {}) =>
  makeBundle(join(host.dir, `bundle${++count}`), command, (config) => {
    config.annotations["run.veneer.base"] = "b";
    edit(config);
  });

describe.each(RUNTIMES)("veneer-%s", (name) => {
  const call = (...args: string[]) => wrapped(host, name, args);
  const program = join(PROJECT, `dist/veneer-${name}`);
  const detached = (...args: string[]) =>
    detach(host, program, [...storeArguments(host), "--root", join(host.dir, "state"), ...args]);

  it.each([
    ["--bundle DIR", (dir: string) => ["--bundle", dir]],
    ["--bundle=DIR", (dir: string) => [`--bundle=${dir}`]],
    ["-b DIR", (dir: string) => ["-b", dir]],
  ])("runs on the base with %s", async (_form, options) => {
    const path = bundle("cat /etc/os-release; ls /tmp; echo x > /new");
    const before = readFileSync(join(path, "config.json"));
    const outcome = await call("run", ...options(path), nextId());
    expect(outcome).toEqual({ status: 0, stdout: "ID=veneer-test", stderr: "" });
    expect(readFileSync(join(path, "config.json"))).toEqual(before);
  });

  it("runs the bundle of the working directory", async () => {
    const path = bundle("cat /etc/os-release");
    const outcome = await wrapped(host, name, ["run", nextId()], { cwd: path });
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
  });

  it("runs a bundle named by a relative path", async () => {
    const path = bundle("cat /etc/os-release");
    const outcome = await wrapped(host, name, ["run", "-b", `../${path.split("/").at(-1)}/.`, nextId()], {
      cwd: path,
    });
    expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
  });

  it("understands global options before the subcommand", async () => {
    const log = join(host.dir, "log");
    const path = bundle("cat /etc/os-release");
    const options = ["--log", log, "--log-format", "json", "--systemd-cgroup=false"];
    const known = name === "runc" ? options : options.slice(0, 4);
    expect(await call(...known, "run", "-b", path, nextId())).toMatchObject({
      status: 0,
      stdout: "ID=veneer-test",
    });
  });

  it("keeps the root read-only, masked and read-only paths in force", async () => {
    const path = bundle(
      `(touch /new) 2>/dev/null || echo read-only
       (echo x > /proc/sys/kernel/domainname) 2>/dev/null || echo sys is read-only
       cat /etc/os-release; wc -c < /proc/keys`,
      (config) => {
        config.root.readonly = true;
        config.linux.maskedPaths.push("/etc/os-release");
      },
    );
    const outcome = await call("run", "-b", path, nextId());
    expect(outcome).toEqual({ status: 0, stdout: "read-only\nsys is read-only\n0", stderr: "" });
  });

  it("shows nothing on the host while a container runs", async () => {
    const id = nextId();
    const path = bundle("exec sleep 60");
    expect(await detached("create", "-b", path, id)).toMatchObject({ status: 0, stderr: "" });
    expect(mountTable()).toEqual(mountsBefore);
    expect(await call("start", id)).toMatchObject({ status: 0, stderr: "" });
    expect(await call("exec", id, "cat", "/etc/os-release")).toMatchObject({ stdout: "ID=veneer-test" });
    expect(JSON.parse((await call("state", id)).stdout)).toMatchObject({ id, status: "running" });
    expect(mountTable()).toEqual(mountsBefore);
    expect(leftovers(host)).toHaveLength(3);
    expect(await call("kill", id, "KILL")).toMatchObject({ status: 0 });
    await expect.poll(async () => JSON.parse((await call("state", id)).stdout).status).toBe("stopped");
    expect(await call("delete", id)).toMatchObject({ status: 0, stderr: "" });
  });

  it("gives the command's exit status", async () => {
    expect(await call("run", "-b", bundle("exit 7"), nextId())).toMatchObject({ status: 7 });
  });

  it("hands signals on to the container", async () => {
    const path = bundle("trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done");
    const words = [...storeArguments(host), "--root", join(host.dir, "state"), "run", "-b", path, nextId()];
    const child = spawn(program, words, { env: { PATH: host.path }, stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    child.kill("SIGTERM");
    expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(3);
  });

  it("writes the pid file", async () => {
    const file = join(host.dir, `pid${++count}`);
    const id = nextId();
    const path = bundle("exec sleep 60");
    const started = await detached("run", "--detach", "--pid-file", file, "-b", path, id);
    expect(started).toMatchObject({ status: 0, stderr: "" });
    const state = JSON.parse((await call("state", id)).stdout);
    expect(Number(readFileSync(file, "utf8"))).toBe(state.pid);
    expect(await call("delete", "--force", id)).toMatchObject({ status: 0 });
  });

  it("sends the terminal to the console socket", async () => {
    const socket = join(host.dir, `console${++count}`);
    const id = nextId();
    const path = bundle("test -t 0 && test -t 1 && echo terminal; cat /etc/os-release", (config) => {
      config.process.terminal = true;
    });
    const engine = spawn("/usr/bin/python3", [join(PROJECT, "test/fixtures/console.py"), socket], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    await new Promise<void>((resolve) =>
      engine.stdout.on("data", (data) => {
        text += data;
        if (text.includes("listening")) resolve();
      }),
    );
    const ended = new Promise((resolve) => engine.once("exit", resolve));
    const created = await call("create", "--console-socket", socket, "-b", path, id);
    expect(created).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(await call("start", id)).toMatchObject({ status: 0 });
    await ended;
    expect(text.replaceAll("\r", "")).toBe("listening\nterminal\nID=veneer-test\n");
    expect(await call("delete", "--force", id)).toMatchObject({ status: 0 });
  });

  it("passes preserved descriptors on, and no others", async () => {
    const file = join(host.dir, "preserved");
    writeFileSync(file, "preserved\n");
    const command = "cat <&3; for fd in /proc/$$/fd/*; do basename $fd; done";
    const script = `exec 3<"$1" 4<"$1" 15<"$1"; shift; exec "$@"`;
    const state = ["--root", join(host.dir, "state"), "run", "--preserve-fds", "1", "-b"];
    const bash = (...words: string[]) =>
      sh("bash", ["-c", script, "bash", file, ...words], { env: { PATH: host.path } });
    const without = makeBundle(join(host.dir, `bundle${++count}`), command, (config) => {
      config.root.path = tree;
    });
    const expected = await bash(name, ...state, without, nextId());
    expect(expected.stdout).toMatch(/^preserved\n/);
    const outcome = await bash(program, ...storeArguments(host), ...state, bundle(command), nextId());
    expect(outcome).toEqual(expected);
  });

  it("works with odd letters in the bundle's path and id", async () => {
    const odd = join(host.dir, name, `a:b,c\\d "e" 'f' ä 漢`);
    const path = makeBundle(odd, "cat /etc/os-release", (config) => {
      config.annotations["run.veneer.base"] = "b";
    });
    const outcome = await call("run", "-b", path, `${nextId()}.A_+`);
    expect(outcome).toEqual({ status: 0, stdout: "ID=veneer-test", stderr: "" });
  });

  it("runs the hooks that config.json has, too", async () => {
    const file = join(host.dir, `hooked${++count}`);
    const path = bundle("true", (config) => {
      config.hooks.poststop = [{ path: "/bin/sh", args: ["sh", "-c", `echo own > ${file}`] }];
    });
    expect(await call("run", "-b", path, nextId())).toMatchObject({ status: 0 });
    expect(readFileSync(file, "utf8")).toBe("own\n");
  });

  it.skipIf(name === "crun" && !crun.possible).each(["shared", "rshared"])(
    "lets a %s volume pass mounts on to the host, which sees nothing else",
    async (propagation) => {
      const volume = join(host.dir, `volume${++count}`);
      await sh("mkdir", ["-p", join(volume, "sub")]);
      const path = bundle("exec sleep 60", (config) => {
        config.linux.rootfsPropagation = "shared";
        config.mounts.push({
          destination: "/vol",
          source: volume,
          type: "bind",
          options: ["rbind", propagation],
        });
      });
      const before = readFileSync(join(path, "config.json"));
      // the volume and the bundle are on one shared mount
      await sh("mount", ["--bind", host.dir, host.dir]);
      await sh("mount", ["--make-shared", host.dir]);
      const mounts = mountTable();
      const id = nextId();
      try {
        const started = await detached("run", "--detach", "-b", path, id);
        expect(started).toMatchObject({ status: 0, stderr: "" });
        expect(mountTable()).toEqual(mounts);
        if (name === "runc") {
          expect((await call("exec", id, "cat", "/etc/os-release")).stdout).toBe("ID=veneer-test");
          expect(
            await call("exec", "--cap", "CAP_SYS_ADMIN", id, "mount", "-t", "tmpfs", "x", "/vol/sub"),
          ).toMatchObject({ status: 0, stderr: "" });
          expect(mountTable().join("\n")).toContain(`${volume}/sub`);
        }
      } finally {
        await call("delete", "--force", id);
        await sh("umount", ["-l", join(volume, "sub")]);
        await sh("umount", ["-l", host.dir]);
      }
      expect(readFileSync(join(path, "config.json"))).toEqual(before);
    },
  );

  it.skipIf(name === "crun" && !crun.possible)(
    "lets other hooks mount for the host, where its mounts are shared",
    async () => {
      const place = join(host.dir, `place${++count}`);
      await sh("mkdir", [place]);
      const path = bundle("exec sleep 60", (config) => {
        config.hooks.prestart = [
          {
            path: "/bin/sh",
            args: ["sh", "-c", `mount -t tmpfs hooked ${place}`],
            env: ["PATH=/usr/bin:/bin"],
          },
        ];
      });
      await sh("mount", ["--bind", host.dir, host.dir]);
      // a peer group of its own: where / is shared, the copy would be in that one
      for (const kind of ["--make-private", "--make-shared"]) await sh("mount", [kind, host.dir]);
      const id = nextId();
      try {
        expect(await detached("run", "--detach", "-b", path, id)).toMatchObject({ status: 0, stderr: "" });
        expect(mountTable().filter((line) => line.includes("hooked"))).toHaveLength(1);
        expect(mountTable().join("\n")).not.toContain("veneer:");
      } finally {
        await call("delete", "--force", id);
        await sh("umount", ["-l", place]);
        await sh("umount", ["-l", host.dir]);
      }
    },
  );

  it("leaves a container without a base to the real runtime, config.json byte for byte", async () => {
    const path = makeBundle(join(host.dir, `bundle${++count}`), "cat /proc/self/mountinfo", (config) => {
      config.root.path = tree;
    });
    const file = join(path, "config.json");
    writeFileSync(file, `${readFileSync(file, "utf8")}\n\n`);
    const before = readFileSync(file);
    const outcome = await call("run", "-b", path, nextId());
    expect(outcome.status).toBe(0);
    expect(outcome.stdout).not.toContain("overlay veneer");
    expect(readFileSync(file)).toEqual(before);
  });

  it("answers like the real runtime to everything else", async () => {
    for (const args of [
      ["--version"],
      ["list"],
      ["state", "none"],
      ["delete", "none"],
      ["--help"],
      ["no-such"],
    ]) {
      const expected = await plain(host, name, args);
      const outcome = await wrapped(host, name, args);
      const strip = (text: string) => text.replaceAll(/time="[^"]*"|[0-9:T-]+Z/g, "");
      expect({ ...outcome, stderr: strip(outcome.stderr) }).toEqual({
        ...expected,
        stderr: strip(expected.stderr),
      });
    }
  });

  it("refuses a second container of the same id as the real runtime does", async () => {
    const id = nextId();
    const start = () => detached("run", "--detach", "-b", bundle("exec sleep 60"), id);
    expect(await start()).toMatchObject({ status: 0 });
    const second = await start();
    expect(second.status).not.toBe(0);
    expect(second.stderr).toMatch(/exist/);
    expect(await call("exec", id, "cat", "/etc/os-release")).toMatchObject({ stdout: "ID=veneer-test" });
    expect(await call("delete", "--force", id)).toMatchObject({ status: 0 });
  });

  it.each(["text", "json"])("says on stderr and in a %s log why it does not start", async (format) => {
    const log = join(host.dir, `log${++count}`);
    const path = bundle("true", (config) => {
      config.annotations["run.veneer.base"] = "absent";
    });
    const outcome = await call("--log", log, "--log-format", format, "create", "-b", path, nextId());
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/^veneer: start \S+: no base absent in \S+; hint: [^\n]*$/);
    // as the runtime itself writes of something that it cannot do
    const real = join(host.dir, `log${++count}`);
    const missing = await plain(host, name, ["--log", real, "--log-format", format, "state", "none"]);
    // newer versions of crun write the same object over several lines, and an escaped slash
    const written = readFileSync(real, "utf8");
    const own = written.startsWith("{\n") ? `${JSON.stringify(JSON.parse(written))}\n` : written;
    const words = missing.stderr.replace(/^time=.* msg="(.*)"$/, "$1");
    expect(own).toContain(words);
    const strip = (text: string, message: string) =>
      text.replace(message, "MESSAGE").replace(/20[0-9T:.-]+Z/, "TIME");
    expect(strip(readFileSync(log, "utf8"), outcome.stderr)).toBe(strip(own, words));
  });
});
