/** One base for containers with user namespaces of different maps: idmapped layers. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
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
import { compileFixture, must, type Outcome, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { treeManifest } from "../helpers/manifest.ts";
import { mountTable } from "../helpers/mounts.ts";
import { inject, injectAt, killAt, momentsOf, recordTo, traceTo, tryStrace } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";
import { mapIds, openTo, range } from "../helpers/userns.ts";
import { storeArguments, wrapped } from "../helpers/wrapper.ts";

const host = useHost();
const base = join(host.dir, "base");
const A = range(100000);
const B = range(300000);
let before: string;

beforeAll(async () => {
  makeTree(base);
  writeFileSync(join(base, "etc/daemon"), "of uid 33\n");
  chownSync(join(base, "etc/daemon"), 33, 34);
  writeFileSync(join(base, "etc/beyond"), "of uid 90000\n");
  chownSync(join(base, "etc/beyond"), 90000, 90000);
  // run by a user inside, it is root inside
  await compileFixture("as-root", join(base, "bin/as-root"));
  chmodSync(join(base, "bin/as-root"), 0o4755);
  copyFileSync("/bin/busybox", join(base, "bin/capable"));
  execFileSync("setcap", ["cap_net_raw+ep", join(base, "bin/capable")]);
  execFileSync("setfattr", ["-n", "user.note", "-v", "base", join(base, "etc/daemon")]);
  execFileSync("setfacl", ["-m", "u:7:rw", join(base, "etc/daemon")]);
  plantBase(host, "b", base);
  openTo(host);
  before = await treeManifest(base);
});
afterEach(async () => {
  await expect
    .poll(() => leftovers(host).filter((path) => !/^(store\/instances|run\/held)\//.test(path)))
    .toEqual([]);
  expect(await treeManifest(base)).toBe(before);
});

let count = 0;
const bundle = (command: string, edit: (config: Config) => void) => {
  let uid = 0;
  const dir = makeBundle(join(host.dir, `bundle${++count}`), `set -e\n${command}`, (config) => {
    edit(config);
    uid = (config.linux.uidMappings as typeof A | undefined)?.[0]?.hostID ?? 0;
  });
  // a runtime that is not given the base beforehand makes its mount points in the bundle's own root
  chownSync(join(dir, "rootfs"), uid, uid);
  return dir;
};

/** The ways in which a container gets its base without an engine. */
const WAYS = RUNTIMES.flatMap((name) => [
  {
    way: `veneer-${name}`,
    name,
    run: (command: string, edit: (config: Config) => void): Promise<Outcome> =>
      wrapped(host, name, [
        "run",
        "--bundle",
        bundle(command, (config) => {
          config.annotations["run.veneer.base"] = "b";
          edit(config);
        }),
        nextId(),
      ]),
  },
  {
    way: `hook with ${name}`,
    name,
    run: (command: string, edit: (config: Config) => void): Promise<Outcome> =>
      runBundle(
        host,
        name,
        bundle(command, (config) => {
          hookAt(config, host, "createRuntime", "--base", "b");
          edit(config);
        }),
      ),
  },
]);

describe.each(WAYS)("$way", ({ run }) => {
  const output = async (command: string, edit: (config: Config) => void = (config) => mapIds(config, A)) => {
    const outcome = await run(command, edit);
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    return outcome.stdout.split("\n");
  };
  const instance = (id: string, maps?: typeof A) => (config: Config) => {
    config.annotations["run.veneer.instance"] = id;
    config.annotations["run.veneer.upper"] = "persistent";
    if (maps) mapIds(config, maps);
  };

  it("shows the base's files with the base's owners, and lets root inside change them", async () => {
    const lines = await output(
      `
      id -u; cat /proc/self/uid_map | tr -s ' '
      stat -c '%u:%g %a %n' / /etc /etc/daemon /etc/beyond /tmp /root
      echo more >> /etc/daemon; stat -c '%u:%g' /etc/daemon
      chown 5:6 /etc/daemon; stat -c '%u:%g' /etc/daemon
      rm -r /home; mkdir /home; touch /home/x; stat -c '%u:%g' /home/x
      ln /home/x /home/y; mv /home/y /home/z; stat -c %h /home/z
      mkdir /d1; mv /d1 /d2; rm /etc/os-release; ls /etc`.replace("tr -s ' '", "sed 's/  */ /g'"),
    );
    expect(lines).toEqual([
      "0",
      " 0 100000 65536",
      "0:0 755 /",
      "0:0 755 /etc",
      "33:34 664 /etc/daemon",
      "65534:65534 644 /etc/beyond",
      "0:0 1777 /tmp",
      "0:0 700 /root",
      "33:34",
      "5:6",
      "0:0",
      "2",
      "beyond",
      "daemon",
      "group",
      "passwd",
      "resolv.conf",
    ]);
  });

  it("runs a set-user-ID program as root of the container, and users as themselves", async () => {
    const lines = await output("as-root; id -u; touch /etc/x 2>/dev/null || echo refused", (config) => {
      mapIds(config, A);
      config.process.user = { uid: 1000, gid: 1000 };
    });
    expect(lines).toEqual(["0", "1000", "refused"]);
  });

  it("takes maps of several ranges, also with ids of the host's root", async () => {
    const uids = [
      { containerID: 0, hostID: 100000, size: 10 },
      { containerID: 33, hostID: 0, size: 1 },
      { containerID: 1000, hostID: 500000, size: 1000 },
    ];
    const gids = [
      { containerID: 0, hostID: 200000, size: 1000 },
      { containerID: 1000, hostID: 1000, size: 1 },
    ];
    const lines = await output(
      `stat -c '%u:%g' /etc /etc/daemon; touch /n; chown 1000:1000 /n; stat -c '%u:%g' /n
       chown 20:0 /n 2>/dev/null || echo not mapped`,
      (config) => mapIds(config, uids, gids),
    );
    expect(lines).toEqual(["0:0", "33:34", "1000:1000", "not mapped"]);
  });

  it("keeps a read-only root read-only", async () => {
    const lines = await output("touch /new 2>/dev/null || echo refused; stat -c '%u' /etc", (config) => {
      mapIds(config, A);
      config.root.readonly = true;
    });
    expect(lines).toEqual(["refused", "0"]);
  });

  it("has volumes, masked paths and an upper in memory", async () => {
    const volume = join(host.dir, `volume${count}`);
    execFileSync("mkdir", [volume]);
    chownSync(volume, 100033, 100033);
    const lines = await output(
      "stat -c '%u:%g' /srv/data; touch /srv/data/x; ls /etc/os-release 2>/dev/null || echo hidden; echo x > /etc/new; stat -c %u /etc/new",
      (config) => {
        mapIds(config, A);
        config.annotations["run.veneer.mask"] = "/etc/os-release";
        config.annotations["run.veneer.tmpfs"] = "8m";
        config.mounts.push({ destination: "/srv/data", type: "bind", source: volume, options: ["rbind"] });
      },
    );
    expect(lines).toEqual(["33:33", "hidden", "0"]);
    expect(execFileSync("stat", ["-c", "%u", join(volume, "x")], { encoding: "utf8" })).toBe("100000\n");
  });

  it("starts an instance under one map, another and none, with plain ids on the disk", async () => {
    const id = `i${++count}`;
    await output("touch /a; chown 33:34 /a; echo x >> /etc/daemon; rm /etc/group", instance(id, A));
    const upper = join(host.root, "instances", id, "1/upper");
    expect(await must("stat", ["-c", "%u:%g", join(upper, "a"), join(upper, "etc/daemon"), upper])).toBe(
      "33:34\n33:34\n0:0",
    );
    const show = "stat -c '%u:%g' /a /etc/daemon; ls /etc/group 2>/dev/null || echo gone";
    expect(await output(`${show}; touch /b`, instance(id, B))).toEqual(["33:34", "33:34", "gone"]);
    expect(await output(`${show}; stat -c %u /b`, instance(id))).toEqual(["33:34", "33:34", "gone", "0"]);
    expect(await must("stat", ["-c", "%u", join(upper, "b")])).toBe("0");
    expect((await host.ok("diff", id)).split("\n").sort()).toEqual([
      "A /a",
      "A /b",
      "C /etc",
      "C /etc/daemon",
      "D /etc/group",
    ]);
    const tar = join(host.dir, `${id}.tar`);
    await host.ok("commit", id, `c${id}`);
    await host.ok("base", "export", `c${id}`, tar);
    const listing = await must("tar", ["--numeric-owner", "-tvf", tar, "a", "b", "etc/daemon"]);
    expect(listing.split("\n").map((line) => line.split(/\s+/)[1])).toEqual(["33/34", "0/0", "33/34"]);
    await host.ok("rm", id);
    await host.ok("base", "rm", `c${id}`);
  });

  it("keeps file capabilities, ACLs and user.* attributes as on a file system without a map", async () => {
    const id = `x${++count}`;
    await output("touch /etc/daemon; touch /bin/capable; chmod 755 /bin/capable", instance(id, A));
    const upper = join(host.root, "instances", id, "1/upper");
    expect(await must("getfattr", ["--only-values", "-n", "user.note", join(upper, "etc/daemon")])).toBe(
      "base",
    );
    expect(await must("getfacl", ["-npc", join(upper, "etc/daemon")])).toContain("user:7:rw-");
    await host.ok("rm", id);
  });

  it("names what is wrong with a map without root", async () => {
    const outcome = await run("true", (config) =>
      mapIds(config, [{ containerID: 1, hostID: 100000, size: 65536 }]),
    );
    expect(outcome.status).not.toBe(0);
  });
});

describe("two containers at the same time", () => {
  it("share one base under different maps, and neither sees the other", async () => {
    const state = join(host.dir, "state");
    const started = [];
    for (const [hostID, name] of [
      [100000, "runc"],
      [300000, "runc"],
    ] as const) {
      const path = bundle("touch /mine; exec sleep 60", (config) => {
        config.annotations["run.veneer.base"] = "b";
        mapIds(config, range(hostID));
      });
      const id = nextId();
      const words = [...storeArguments(host), "--root", state, "run", "--detach", "--bundle", path, id];
      expect(await detach(host, join(host.bin, `veneer-${name}`), words)).toMatchObject({ status: 0 });
      started.push({ id, hostID });
    }
    const records = readdirSync(join(host.run, "records")).map((name) =>
      JSON.parse(readFileSync(join(host.run, "records", name), "utf8")),
    );
    expect(records.map((record) => record.idmap.uids[0].hostID).sort()).toEqual([100000, 300000]);
    for (const { id, hostID } of started) {
      const { pid } = JSON.parse((await runtime(host, "runc", ["state", id])).stdout);
      await expect.poll(() => existsSync(`/proc/${pid}/root/mine`)).toBe(true);
      const seen = await must("stat", ["-c", "%u", `/proc/${pid}/root/etc`, `/proc/${pid}/root/mine`]);
      expect(seen).toBe(`${hostID}\n${hostID}`);
      const inspected = await host.ok("inspect", id, "--json");
      expect(JSON.parse(inspected)).toMatchObject({ holder: { idmap: { uids: range(hostID) } } });
      expect(await runtime(host, "runc", ["exec", id, "stat", "-c", "%u", "/etc"])).toMatchObject({
        stdout: "0",
      });
      await runtime(host, "runc", ["delete", "--force", id]);
    }
  });
});

describe("kept namespaces", () => {
  it("serve later starts without a process, and go with gc", async () => {
    const go = () =>
      wrapped(host, "runc", [
        "run",
        "--bundle",
        bundle("true", (config) => {
          config.annotations["run.veneer.base"] = "b";
          mapIds(config, range(700000));
        }),
        nextId(),
      ]);
    const kept = join(host.run, "userns/u0-700000-65536.g0-700000-65536");
    expect(await go()).toMatchObject({ status: 0, stderr: "" });
    const inode = () => execFileSync("stat", ["-c", "%i", kept], { encoding: "utf8" });
    const first = inode();
    expect(await go()).toMatchObject({ status: 0 });
    expect(inode()).toBe(first);
    await host.ok("gc");
    expect(existsSync(kept)).toBe(false);
    expect(await go()).toMatchObject({ status: 0 });
  });
});

describe("a namespace that exists already", () => {
  it.each(RUNTIMES)("is joined by path with veneer-%s", async (name) => {
    const first = bundle("exec sleep 60", (config) => {
      config.annotations["run.veneer.base"] = "b";
      mapIds(config, A);
    });
    const id = nextId();
    const words = [...storeArguments(host), "--root", join(host.dir, "state"), "run", "--detach"];
    const program = join(host.bin, `veneer-${name}`);
    expect(await detach(host, program, [...words, "--bundle", first, id])).toMatchObject({ status: 0 });
    const { pid } = JSON.parse((await runtime(host, name, ["state", id])).stdout);
    const second = bundle("stat -c %u /etc /etc/daemon; touch /x; stat -c %u /x", (config) => {
      config.annotations["run.veneer.base"] = "b";
      mapIds(config, A);
      config.linux.namespaces = config.linux.namespaces.map((namespace) =>
        namespace.type === "user" ? { type: "user", path: `/proc/${pid}/ns/user` } : namespace,
      );
      // runc 1.1.5 wants them, crun need not have them
      if (name === "crun") for (const key of ["uidMappings", "gidMappings"]) delete config.linux[key];
    });
    const outcome = await wrapped(host, name, ["run", "--bundle", second, nextId()]);
    await runtime(host, name, ["delete", "--force", id]);
    // later ones warn of it
    expect(outcome).toMatchObject({ status: 0, stdout: "0\n33\n0" });
  });
});

describe("starts at the same time with a map that is new", () => {
  it("all succeed, and one namespace is kept", async () => {
    const dirs = Array.from({ length: 6 }, () =>
      bundle("stat -c %u /etc/daemon", (config) => {
        config.annotations["run.veneer.base"] = "b";
        mapIds(config, range(900000));
      }),
    );
    const outcomes = await Promise.all(
      dirs.map((dir) => wrapped(host, "runc", ["run", "--bundle", dir, nextId()])),
    );
    expect(outcomes.map(({ status, stdout, stderr }) => [status, stdout, stderr])).toEqual(
      dirs.map(() => [0, "33", ""]),
    );
    const kept = readdirSync(join(host.run, "userns")).filter((name) => name.includes("900000"));
    expect(kept).toEqual(["u0-900000-65536.g0-900000-65536"]);
  });
});

/** A container of podman's, as its precreate hook gets it. */
const PRECREATE = JSON.stringify({
  ociVersion: "1.0.2",
  root: { path: "rootfs" },
  annotations: { "run.veneer.base": "b" },
  linux: { namespaces: [{ type: "user" }], uidMappings: A, gidMappings: A },
});

describe("a base on a file system that cannot be idmapped", () => {
  it("is refused with its name, and nothing is left", async () => {
    const dirs = ["merged", "above", "work"].map((name) => join(host.dir, `overlay-${name}`));
    for (const dir of dirs) mkdirSync(dir);
    const [merged = "", upper, work] = dirs;
    const options = `lowerdir=${base},upperdir=${upper},workdir=${work}`;
    await must("mount", ["-t", "overlay", "overlay", "-o", options, merged]);
    plantBase(host, "stacked", merged);
    const dir = bundle("true", (config) => {
      config.annotations["run.veneer.base"] = "stacked";
      mapIds(config, A);
    });
    const outcome = await wrapped(host, "runc", ["run", "--bundle", dir, nextId()]);
    await must("umount", [merged]);
    expect(outcome).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(`'${merged}' cannot be idmapped`),
    });
    expect(outcome.stderr).toContain("file system that can be idmapped");
  });
});

describe("a host that makes no user namespaces", () => {
  it("is said to be one", async () => {
    tryStrace();
    const options = [PROGRAM, ...storeOptions(host), "hook", "precreate"];
    await host.ok("gc");
    const outcome = await sh("strace", [...inject("unshare", "error=ENOSPC"), ...options], {
      input: PRECREATE,
    });
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toContain("user.max_user_namespaces");
  });
});

describe("a kernel that takes no detached layers", () => {
  it("gets them attached, in a mount namespace that goes", async () => {
    tryStrace();
    const trace = join(host.dir, "attached");
    const words = [PROGRAM, ...storeOptions(host), "hook", "precreate"];
    const start = async (options: readonly string[]) =>
      JSON.parse(await must("strace", [...options, ...words], { input: PRECREATE }));
    const stop = async ({ hooks }: { hooks: { poststop: { path: string; args: string[] }[] } }) => {
      const [hook] = hooks.poststop;
      const state = JSON.stringify({ ociVersion: "1.0.2", id: "x", status: "stopped", bundle: "/" });
      await must(hook?.path ?? "", hook?.args.slice(1) ?? [], { input: state });
    };
    await stop(await start(traceTo(trace, "fsconfig")));
    // the call that makes the file system: how many options come before it depends on the kernel
    const changed = await start(injectAt(trace, "fsconfig", "FSCONFIG_CMD_CREATE", "error=EINVAL"));
    expect(readFileSync(`${trace}-injected`, "utf8")).toMatch(/FSCONFIG_CMD_CREATE.*INJECTED/);
    const { path } = changed.root;
    expect(await must("stat", ["-c", "%u", path, join(path, "etc/daemon")])).toBe("100000\n100033");
    expect(mountTable().filter((line) => line.includes(" - overlay "))).toHaveLength(1);
    await stop(changed);
  });
});

describe("what a user of the host reaches", () => {
  const as = (uid: number, ...command: string[]) =>
    // what it executes first it still looks up with root's capabilities
    sh("setpriv", [
      `--reuid=${uid}`,
      `--regid=${uid}`,
      "--clear-groups",
      "sh",
      "-c",
      'exec "$@"',
      "sh",
      ...command,
    ]);

  it("is the root that is mounted on the host for its own ids alone, and nothing of the store", async () => {
    const options = [...storeOptions(host), "hook", "precreate"];
    const printed = await must(join(host.bin, "veneer"), options, { input: PRECREATE });
    const { root, hooks } = JSON.parse(printed);
    const suid = join(root.path, "bin/as-root");
    // root of the namespace, as the runtime looks at it; what it runs there has no other ids than its own
    expect(await as(100000, suid)).toMatchObject({ status: 0, stdout: "100000" });
    for (const uid of [1000, 100001, 300000]) {
      expect([uid, await as(uid, suid)]).toMatchObject([uid, { status: 126 }]);
      expect((await as(uid, "ls", root.path)).status).not.toBe(0);
    }
    for (const uid of [1000, 100000]) {
      for (const path of [host.root, host.run, join(host.run, "records"), join(host.run, "userns")]) {
        expect((await as(uid, "ls", path)).status).not.toBe(0);
      }
    }
    const [hook] = hooks.poststop;
    const state = JSON.stringify({ ociVersion: "1.0.2", id: "x", status: "stopped", bundle: "/" });
    await must(hook.path, hook.args.slice(1), { input: state });
    expect(existsSync(root.path)).toBe(false);
    expect(readdirSync(join(host.run, "mapped"))).toEqual([]);
  });

  it("shows no path of the host to a container", async () => {
    const run = WAYS[0]?.run as (typeof WAYS)[0]["run"];
    const outcome = await run("grep ' / / ' /proc/self/mountinfo", (config) => mapIds(config, A));
    expect(outcome.stdout).toContain("overlay veneer:");
    expect(outcome.stdout).not.toContain(host.dir);
  });
});

describe("a kill", () => {
  it("at any moment of a start leaves nothing but what gc takes", async () => {
    tryStrace();
    const words = [PROGRAM, ...storeOptions(host), "hook", "precreate"];
    const trace = (options: readonly string[]) => sh("strace", [...options, ...words], { input: PRECREATE });
    const clean = async () => {
      for (const target of mountTable().filter((line) => line.includes("/mapped/"))) {
        const [, , point = ""] = target.split(" ");
        await must("umount", ["-l", point]);
      }
      // a file that a writer has not published is a killed writer's after a minute
      const records = join(host.run, "records");
      for (const name of existsSync(records) ? readdirSync(records) : [])
        utimesSync(join(records, name), 0, 0);
      await host.ok("gc");
      await expect.poll(() => leftovers(host)).toEqual([]);
      const left = ["mapped", "userns"].flatMap((name) =>
        existsSync(join(host.run, name)) ? readdirSync(join(host.run, name)) : [],
      );
      expect(left).toEqual([]);
    };
    await host.ok("gc");
    const file = join(host.dir, "trace");
    // the first start makes directories that stay
    await trace(recordTo(file));
    await clean();
    expect(await trace(recordTo(file))).toMatchObject({ status: 0 });
    await clean();
    const moments = momentsOf(file);
    expect(moments.map(({ call }) => call)).toContain("mount_setattr");
    for (const moment of moments) {
      const outcome = await trace(killAt(moment));
      expect([moment, outcome.status]).not.toEqual([moment, 0]);
      await clean();
    }
  });
});
