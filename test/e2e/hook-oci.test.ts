import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import {
  type Config,
  detach,
  hookAt,
  makeBundle,
  nextId,
  RUNTIMES,
  runBundle,
  runtime,
} from "../helpers/bundle.ts";
import { must, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { mountTable } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";
import { useCleanHost } from "../helpers/use-host.ts";

const host = useCleanHost();
const base = join(host.dir, "base");

beforeAll(() => {
  makeTree(base);
  writeFileSync(join(base, "etc/secret"), "of the base\n");
  plantBase(host, "b", base);
});

let count = 0;
const bundle = (command: string, edit: (config: Config) => void = () => {}) =>
  makeBundle(join(host.dir, `bundle${++count}`), command, edit);
const directory = (name: string, file = "file") => {
  const path = join(host.dir, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, file), `${name}\n`);
  return path;
};
const bind = (source: string, destination: string, ...options: string[]) => ({
  destination,
  source,
  type: "bind",
  options: ["rbind", ...options],
});

describe.each(RUNTIMES)("%s", (name) => {
  const run = (path: string) => runBundle(host, name, path);
  const detached = (...args: string[]) => detach(host, name, ["--root", join(host.dir, "state"), ...args]);
  /** stdout of a container that must succeed */
  const output = async (command: string, edit: (config: Config) => void = () => {}) => {
    const path = bundle(`set -e\n${command}`, (config) => {
      hookAt(config, host, "createRuntime", "--base", "b");
      edit(config);
    });
    const outcome = await run(path);
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    return outcome.stdout;
  };

  it.each(["createRuntime", "prestart"])("runs on the base with the hook at %s", async (stage) => {
    const path = bundle(
      "cat /etc/os-release; echo x > /etc/new; ls -A /tmp /root | grep of-the-base",
      (config) => hookAt(config, host, stage, "--base", "b"),
    );
    expect(await run(path)).toEqual({ status: 1, stdout: "ID=veneer-test", stderr: "" });
    expect((await sh("ls", [join(base, "etc/new")])).status).not.toBe(0);
  });

  it("takes the base from an annotation", async () => {
    const path = bundle("cat /etc/os-release", (config) => {
      hookAt(config, host, "createRuntime");
      config.annotations["run.veneer.base"] = "b@1";
    });
    expect(await run(path)).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
  });

  it("covers once with hooks at prestart and at createRuntime", async () => {
    const stdout = await output("grep -c ' - overlay ' /proc/self/mountinfo", (config) =>
      hookAt(config, host, "prestart", "--base", "b"),
    );
    expect(stdout).toBe("1");
  });

  it("leaves a container without a base as it is", async () => {
    const path = bundle("cat /marker; grep -c overlay /proc/self/mountinfo", (config) => {
      hookAt(config, host, "createRuntime");
      hookAt(config, host, "prestart");
      config.root.path = makeTree(join(host.dir, `tree${++count}`));
      writeFileSync(join(config.root.path, "marker"), "own root\n");
    });
    expect(await run(path)).toEqual({ status: 1, stdout: "own root\n0", stderr: "" });
  });

  it("keeps the root read-only when config.json wants that", async () => {
    const stdout = await output("touch /new 2>/dev/null || echo read-only; touch /dev/shm-file", (config) => {
      config.root.readonly = true;
    });
    expect(stdout).toBe("read-only");
  });

  it("keeps masked and read-only paths in force", async () => {
    const script = `
      cat /etc/secret
      cat /etc/hidden/* 2>/dev/null || echo nothing hidden
      (echo x > /proc/sys/kernel/domainname) 2>/dev/null || echo sys is read-only
      touch /etc/opt/x 2>/dev/null || echo opt is read-only
      wc -c < /proc/keys
      ls /sys/firmware | wc -l
      touch /sys/x 2>/dev/null || echo sysfs is read-only`;
    mkdirSync(join(base, "etc/hidden"), { recursive: true });
    mkdirSync(join(base, "etc/opt"), { recursive: true });
    writeFileSync(join(base, "etc/hidden/file"), "hidden\n");
    const stdout = await output(script, (config) => {
      config.linux.maskedPaths.push("/etc/secret", "/etc/hidden", "/does/not/exist");
      config.linux.readonlyPaths.push("/etc/opt", "/does/not/exist");
    });
    expect(stdout).toBe("nothing hidden\nsys is read-only\nopt is read-only\n0\n0\nsysfs is read-only");
  });

  it("has the container's own proc, sys and dev", async () => {
    const script = `
      echo $$
      stat -f -c %T /proc /sys /dev
      ls /sys/class/net
      echo x > /dev/null; head -c 4 /dev/zero | wc -c; ls -d /dev/pts/ptmx /dev/fd
      test ! -e /dev/sda -a ! -e /dev/vda`;
    const stdout = await output(script);
    expect(stdout.split("\n")).toEqual([
      "1",
      "proc",
      "sysfs",
      "tmpfs",
      "lo",
      "4",
      "/dev/fd",
      "/dev/pts/ptmx",
    ]);
  });

  it("has its devices when config.json mounts nothing on /dev", async () => {
    const script = `
      echo x > /dev/null; head -c 4 /dev/zero | wc -c; readlink /dev/fd; stat -c '%a %t:%T' /dev/null /dev/urandom
      cat /etc/os-release`;
    const stdout = await output(script, (config) => {
      config.mounts = config.mounts.filter((mount) => !mount.destination.startsWith("/dev"));
      // crun wants the directory, runc makes it
      mkdirSync(join(host.dir, `bundle${count}`, "rootfs/dev"));
    });
    expect(stdout).toBe("4\n/proc/self/fd\n666 1:3\n666 1:9\nID=veneer-test");
  });

  it("makes the working directory where the base lacks it", async () => {
    const stdout = await output("pwd; stat -c %a .", (config) => {
      config.process.cwd = "/srv/there";
    });
    expect(stdout).toBe("/srv/there\n755");
  });

  describe("volumes", () => {
    it("on directories, files, inside each other, and on paths that the base lacks", async () => {
      const outer = directory("outer");
      const inner = directory("inner");
      mkdirSync(join(outer, "deep"), { recursive: true });
      const stdout = await output(
        "cat /home/file /home/deep/file /etc/os-release /new/place/file /new/a-file; echo w > /home/deep/written",
        (config) => {
          config.mounts.push(
            bind(outer, "/home"),
            bind(inner, "/home/deep"),
            bind(join(inner, "file"), "/etc/os-release"),
            bind(inner, "/new/place"),
            bind(join(outer, "file"), "/new/a-file"),
          );
        },
      );
      expect(stdout).toBe("outer\ninner\ninner\ninner\nouter");
      expect(readFileSync(join(inner, "written"), "utf8")).toBe("w\n");
    });

    it("that are read-only, also recursively", async () => {
      const volume = directory("ro");
      const script = `
        for d in /ro /ro-tmpfs /ro-file; do
          sh -c "echo x >> $d/x || echo x >> $d" 2>/dev/null || echo $d is read-only
        done`;
      const stdout = await output(script, (config) => {
        config.mounts.push(bind(volume, "/ro", "ro"), bind(join(volume, "file"), "/ro-file", "ro"), {
          destination: "/ro-tmpfs",
          type: "tmpfs",
          source: "tmpfs",
          options: ["ro", "nosuid"],
        });
      });
      expect(stdout).toBe("/ro is read-only\n/ro-tmpfs is read-only\n/ro-file is read-only");
      expect(readFileSync(join(volume, "file"), "utf8")).toBe("ro\n");
    });

    it("on paths that are symbolic links in the base", async () => {
      const volume = directory("linked");
      const stdout = await output(
        "cat /etc/resolv.conf /var/run/app/file; readlink /etc/resolv.conf; readlink /var/run; ls /run; cat /run/resolvconf/resolv.conf",
        (config) => {
          config.mounts.push(bind(join(volume, "file"), "/etc/resolv.conf"), bind(volume, "/var/run/app"));
        },
      );
      expect(stdout).toBe("linked\nlinked\n../run/resolvconf/resolv.conf\n/run\napp\nresolvconf\nlinked");
    });

    it("never outside of the root, whatever links the base has", async () => {
      const tree = makeTree(join(host.dir, `tree${++count}`));
      const outside = directory("outside");
      await must("ln", ["-s", outside, join(tree, "absolute")]);
      await must("ln", ["-s", `../../../../../../../..${outside}`, join(tree, "relative")]);
      await must("ln", ["-s", "/proc/1/root", join(tree, "magic")]);
      await must("ln", ["-s", "loop", join(tree, "loop")]);
      plantBase(host, "hostile", tree);
      const volume = directory("inside");
      for (const path of ["/absolute/new", "/relative/new"]) {
        const there = bundle(`cat ${path}/file`, (config) => {
          hookAt(config, host, "createRuntime", "--base", "hostile");
          config.mounts.push(bind(volume, path));
        });
        expect(await run(there)).toMatchObject({ status: 0, stdout: "inside" });
      }
      for (const path of ["/magic/new", "/loop"]) {
        const refused = bundle("true", (config) => {
          hookAt(config, host, "createRuntime", "--base", "hostile");
          config.mounts.push(bind(volume, path));
        });
        const outcome = await run(refused);
        expect(outcome.status).not.toBe(0);
        expect(outcome.stderr).toMatch(/veneer: start .*: cover the root .*(ELOOP|ENOENT|links)/);
      }
      expect((await must("ls", [outside])).split("\n")).toEqual(["file"]);
    });

    it("refuses proc behind a symbolic link", async () => {
      const tree = makeTree(join(host.dir, `tree${++count}`));
      await must("rmdir", [join(tree, "proc")]);
      await must("ln", ["-s", "home", join(tree, "proc")]);
      plantBase(host, "linked-proc", tree);
      const outcome = await run(
        bundle("true", (config) => hookAt(config, host, "createRuntime", "--base", "linked-proc")),
      );
      expect(outcome.status).not.toBe(0);
      expect(outcome.stderr).toContain("mount point proc is reached through a symbolic link");
    });

    it("says so when a file is to be mounted on a directory of the base", async () => {
      const volume = directory("mismatch");
      const outcome = await run(
        bundle("true", (config) => {
          hookAt(config, host, "createRuntime", "--base", "b");
          config.mounts.push(bind(join(volume, "file"), "/home"));
        }),
      );
      expect(outcome.status).not.toBe(0);
      expect(outcome.stderr).toContain("mount a file on /home, which is a directory in the base");
    });

    it("of which a later one hides an earlier one", async () => {
      const hidden = directory("hidden", "hidden");
      const seen = directory("seen");
      const stdout = await output("ls /srv /srv/data 2>/dev/null || true; cat /twice/file", (config) => {
        config.mounts.push(
          bind(hidden, "/srv/data"),
          bind(seen, "/srv"),
          bind(hidden, "/twice"),
          bind(seen, "/twice"),
        );
      });
      expect(stdout).toBe("/srv:\nfile\nseen");
    });

    it("that nobody may clone (unbindable)", async () => {
      const volume = directory("unbindable");
      const stdout = await output("cat /vol/file; grep -c unbindable /proc/self/mountinfo", (config) => {
        config.mounts.push(bind(volume, "/vol", "unbindable"));
      });
      expect(stdout).toBe("unbindable\n1");
    });

    it("200 of them", async () => {
      const volume = directory("many");
      const stdout = await output("cat /many/*/file | wc -l; cat /many/199/file", (config) => {
        for (let n = 0; n < 200; n++) config.mounts.push(bind(volume, `/many/${n}`));
      });
      expect(stdout).toBe("200\nmany");
    });
  });

  describe("propagation", () => {
    it.each(["shared", "rshared", "slave", "rslave", "private", "rprivate", "unset"])(
      "rootfsPropagation %s: nothing of the root reaches the host, bundle and store on shared mounts",
      async (propagation) => {
        const shared = join(host.dir, "on-shared");
        mkdirSync(shared, { recursive: true });
        await must("mount", ["--bind", shared, shared]);
        await must("mount", ["--make-shared", shared]);
        try {
          const before = mountTable();
          const path = makeBundle(join(shared, `${name}-${propagation}`), "sleep 60", (config) => {
            hookAt(config, host, "createRuntime", "--base", "b");
            if (propagation !== "unset") config.linux.rootfsPropagation = propagation;
          });
          const id = nextId();
          expect(await detached("create", "--bundle", path, id)).toMatchObject({ status: 0, stderr: "" });
          expect(mountTable()).toEqual(before);
          expect(await runtime(host, name, ["start", id])).toMatchObject({ status: 0 });
          const inside = await runtime(host, name, [
            "exec",
            id,
            "cat",
            "/etc/os-release",
            "/proc/self/mountinfo",
          ]);
          expect(inside.stdout).toMatch(/^ID=veneer-test\n/);
          expect(inside.stdout).toMatch(/ \/ \/ .* - overlay veneer:/);
          expect(mountTable()).toEqual(before);
          await runtime(host, name, ["delete", "--force", id]);
          expect(mountTable()).toEqual(before);
        } finally {
          await must("umount", ["-l", shared]);
        }
      },
    );

    it("a slave volume sees what the host mounts, and the host nothing of the container's", async () => {
      const volume = directory("propagated");
      mkdirSync(join(volume, "host"), { recursive: true });
      mkdirSync(join(volume, "own"), { recursive: true });
      await must("mount", ["--bind", volume, volume]);
      await must("mount", ["--make-shared", volume]);
      const id = nextId();
      try {
        const path = bundle("mount -t tmpfs own /vol/own; sleep 60", (config) => {
          hookAt(config, host, "createRuntime", "--base", "b");
          config.linux.rootfsPropagation = "rslave";
          config.mounts.push(bind(volume, "/vol", "rslave"));
        });
        expect(await detached("run", "--detach", "--bundle", path, id)).toMatchObject({
          status: 0,
          stderr: "",
        });
        await must("mount", ["-t", "tmpfs", "late", join(volume, "host")]);
        await must("touch", [join(volume, "host/late")]);
        const { stdout } = await runtime(host, name, ["exec", id, "ls", "/vol/host"]);
        expect(stdout).toBe("late");
        expect(mountTable().join("\n")).not.toContain(`${volume}/own`);
      } finally {
        await runtime(host, name, ["delete", "--force", id]);
        await sh("umount", [join(volume, "host")]);
        await must("umount", ["-l", volume]);
      }
    });
  });

  it("gives exec the same root, and keeps it apart from the next container's", async () => {
    const id = nextId();
    const path = bundle("echo first > /mine; exec sleep 60", (config) =>
      hookAt(config, host, "createRuntime", "--base", "b"),
    );
    expect(await detached("run", "--detach", "--bundle", path, id)).toMatchObject({ status: 0, stderr: "" });
    await runtime(host, name, ["exec", id, "sh", "-c", "until [ -e /mine ]; do :; done"]);
    expect(await runtime(host, name, ["exec", id, "cat", "/mine"])).toMatchObject({ stdout: "first" });
    expect(await output("ls /mine 2>/dev/null || echo none")).toBe("none");
    expect(await runtime(host, name, ["delete", "--force", id])).toMatchObject({ status: 0 });
  });

  it("has a terminal", async () => {
    const path = bundle("tty; test -t 0 && test -t 1 && echo terminal; echo x > /dev/console", (config) => {
      hookAt(config, host, "createRuntime", "--base", "b");
      config.process.terminal = true;
    });
    const command = `${name} --root ${join(host.dir, "state")} run --bundle ${path} ${nextId()}`;
    const outcome = await sh("script", ["-qec", command, "/dev/null"], { env: { PATH: host.path } });
    expect(outcome.status).toBe(0);
    // crun's own messages go to the same terminal
    expect(outcome.stdout.replaceAll(/\r|\^@/g, "")).toMatch(/\/dev\/(pts\/0|console)\nterminal\nx(\n|$)/);
  });

  it.each([
    ["colon", "a:b"],
    ["comma", "a,b"],
    ["backslash", "a\\b"],
    ["space", "a  b "],
    ["quotes", `a"b'c`],
    ["non-ASCII", "ä ß 漢字 🐚"],
    ["number sign", "a#b%20\\040"],
    ["newline", "a\nb"],
  ])("works with a %s in every path", async (_what, odd) => {
    const place = join(host.dir, name, odd);
    const own = { ...host, dir: place, root: join(place, "store"), run: join(place, "run") };
    mkdirSync(place, { recursive: true });
    plantBase(own, "b", makeTree(join(place, "base")));
    const volume = join(place, "volume");
    mkdirSync(volume);
    writeFileSync(join(volume, "file"), "volume\n");
    const path = makeBundle(
      join(place, "bundle"),
      `cat /etc/os-release; cat "$VOLUME/file" "$VOLUME-file"`,
      (config) => {
        config.process.env.push(`VOLUME=/vol/${odd}`);
        hookAt(config, own, "createRuntime", "--base", "b");
        config.mounts.push(bind(volume, `/vol/${odd}`), bind(join(volume, "file"), `/vol/${odd}-file`));
      },
    );
    const outcome = await run(path);
    expect(outcome).toEqual({ status: 0, stdout: "ID=veneer-test\nvolume\nvolume", stderr: "" });
    await expect.poll(() => leftovers(own)).toEqual([]);
  });
});
