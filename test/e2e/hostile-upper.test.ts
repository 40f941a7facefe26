/** A persistent upper in which a container put links to the host's paths: nothing outside of it is read or changed. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { type Config, hookAt, makeBundle, nextId, RUNTIMES, runBundle } from "../helpers/bundle.ts";
import { makeHost, must, sh } from "../helpers/host.ts";
import { wrapped } from "../helpers/wrapper.ts";

// not below /tmp, which becomes a link itself
const host = makeHost("/srv");
const victim = join(host.dir, "victim");
const volume = join(host.dir, "volume");
let upper: string;

beforeAll(() => {
  makeBase(host, "b");
  mkdirSync(volume);
  writeFileSync(join(volume, "file"), "volume\n");
});
afterAll(() => host.remove());

let count = 0;
const start = (name: string, kind: string, edit: (config: Config) => void) => {
  const path = makeBundle(
    join(host.dir, `bundle${++count}`),
    "cat /tmp/vol/file /etc/vol/file; echo x > /dev/null",
    (config) => {
      config.mounts.push(
        { destination: "/tmp/vol", source: volume, type: "bind", options: ["rbind"] },
        { destination: "/etc/vol", source: volume, type: "bind", options: ["rbind"] },
        { destination: "/root/.ssh/key", source: join(volume, "file"), type: "bind", options: ["bind"] },
      );
      config.process.cwd = "/root/work";
      config.annotations = {
        "run.veneer.base": "b",
        "run.veneer.instance": "kept",
        "run.veneer.upper": "persistent",
        "run.veneer.opaque": "/tmp,/root,/var/tmp",
        "run.veneer.mask": "/etc/passwd,/etc/ssh/*",
      };
      if (kind === "hook oci") hookAt(config, host, "createRuntime");
      edit(config);
    },
  );
  return kind === "hook oci"
    ? runBundle(host, name, path)
    : wrapped(host, name, ["run", "-b", path, nextId()]);
};

/** Everything below a directory with type, mode, owner, time and content. */
const snapshot = (dir: string) =>
  must("sh", ["-c", 'cd "$0" && find . -printf "%p %y %m %U %T@ %l\\n" | sort; cat file', dir]);

beforeEach(async () => {
  await host.veneer("rm", "kept");
  rmSync(victim, { recursive: true, force: true });
  mkdirSync(victim);
  writeFileSync(join(victim, "file"), "of the host\n");
  await host.ok("create", "kept", "b");
  const generation = join(host.root, "instances/kept");
  upper = join(generation, readdirSync(generation).find((name) => /^[0-9]+$/.test(name)) as string, "upper");
});

describe.each(
  RUNTIMES.flatMap(
    (name) =>
      [
        [name, "hook oci"],
        [name, "runtime"],
      ] as const,
  ),
)("%s, %s", (name, kind) => {
  it.each([
    ["absolute", () => victim],
    ["relative", () => `../../../../../../../../../../../..${victim}`],
    ["through /proc", () => `/proc/1/root${victim}`],
    ["through the program's descriptors", () => "/proc/self/fd/3/../.."],
  ])("%s links", async (what, target) => {
    for (const path of ["tmp", "root", "etc", "dev", "var", "home"]) {
      rmSync(join(upper, path), { recursive: true, force: true });
      symlinkSync(target(), join(upper, path));
    }
    const before = await snapshot(victim);
    const outcome = await start(name, kind, (config) => {
      config.mounts = config.mounts.filter((mount) => !mount.destination.startsWith("/dev"));
      mkdirSync(join(host.dir, `bundle${count}`, "rootfs/dev"));
    });
    if (kind === "hook oci" && what === "absolute") {
      expect(outcome).toMatchObject({ status: 0, stdout: "volume\nvolume" });
    }
    // it may start, with everything inside, or be refused
    expect(outcome.stdout).not.toContain("of the host");
    expect(await snapshot(victim)).toBe(before);
    await host.veneer("diff", "kept");
    await host.ok("rm", "kept");
    await host.ok("gc");
    expect(await snapshot(victim)).toBe(before);
    expect(existsSync(upper)).toBe(false);
  });

  it("proc as a link is refused", async () => {
    symlinkSync("home", join(upper, "proc"));
    const outcome = await start(name, kind, () => {});
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/proc/);
  });

  it("made by the container itself: the next start of the instance keeps inside", async () => {
    const links = `cd /; rm -rf /tmp/* /home; ln -s ${victim} /home; rm -f /etc/passwd; ln -s ${victim}/file /etc/passwd; mkdir -p /srv; ln -s ${victim} /srv/data`;
    const first = await start(name, kind, (config) => {
      config.mounts = config.mounts.filter((mount) => mount.destination === "/proc");
      config.process.args = ["/bin/sh", "-c", links];
      config.process.cwd = "/";
      mkdirSync(join(host.dir, `bundle${count}`, "rootfs/dev"));
    });
    expect(first).toMatchObject({ status: 0, stderr: "" });
    const before = await snapshot(victim);
    const second = await start(name, kind, (config) => {
      config.process.args = ["/bin/sh", "-c", "cat /home/in/file /srv/data/file"];
      config.mounts.push(
        { destination: "/home/in", source: volume, type: "bind", options: ["rbind"] },
        { destination: "/srv/data/file", source: join(volume, "file"), type: "bind", options: ["bind"] },
      );
    });
    expect(second.stdout).not.toContain("of the host");
    expect(await snapshot(victim)).toBe(before);
    expect(readFileSync(join(volume, "file"), "utf8")).toBe("volume\n");
    expect((await sh("ls", [victim])).stdout).toBe("file");
  });
});
