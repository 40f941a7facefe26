/** Running containers that are unlike others, given another root; what stays on the old one; and fallback. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Config, nextId, runtime } from "../helpers/bundle.ts";
import { must, sh } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { begin, failure, plantVersions, type Running, withPerl } from "../helpers/live.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { inject } from "../helpers/strace.ts";
import { useHost } from "../helpers/use-host.ts";

const host = useHost();
beforeAll(() => plantVersions(host));

let instance: string;
let container: Running | undefined;
beforeEach(async () => {
  instance = nextId();
  await host.ok("create", instance, "b@1");
});
afterEach(async () => {
  await container?.stop();
  container = undefined;
  await host.ok("gc");
  // the parts may be being merged
  await expect.poll(async () => failure(await host.veneer("rm", instance))).toBe("");
  await expect.poll(() => leftovers(host)).toEqual([]);
});

const WORKER =
  "while :; do cat /etc/version >/seen; if [ -e /job ]; then mv /job /now; sh /now & fi; sleep 0.02; done";

async function run(command = WORKER, edit: (config: Config) => void = () => {}, ...globals: string[]) {
  const way = globals.length > 0 ? "crun wrapped" : "runc wrapped";
  container = await begin(host, way, command, instance, edit, 0, globals);
  return container;
}

/** Runs a script as a child of the container's first process; returns when the script has made /ready. */
async function work({ exec }: Running, script: string): Promise<void> {
  await exec(`rm -f /ready; cat > /new <<'END'\n${script}\nEND\nmv /new /job`);
  await expect.poll(() => exec("ls /ready 2>/dev/null || true")).toBe("/ready");
}

const rebase = (to: string, ...options: string[]) => host.veneer("rebase", instance, to, ...options);

const isOf = ({ pid }: Running, other: number) =>
  readlinkSync(`/proc/${pid}/ns/pid`) === readlinkSync(`/proc/${other}/ns/pid`);

async function expectOn({ exec }: Running, version: number): Promise<void> {
  expect(await exec("cat /etc/version")).toBe(String(version));
  await expect.poll(() => exec("cat /seen")).toBe(String(version));
}

const V1 = "/sys/fs/cgroup/freezer";
const V2 = "/sys/fs/cgroup/unified";
it.skipIf(!existsSync(V1) || !existsSync(V2))("a control group of version 2 is frozen too", async () => {
  const live = await run();
  const program = [join(host.bin, "veneer"), "rebase", instance, "b@2"];
  const trace = join(host.dir, "trace");
  const strace = ["strace", "-f", "-o", trace, "-e", "trace=openat", ...program];
  const words = ["-m", "--propagation", "private", "sh", "-c", `umount ${V1}; exec "$@"`, "sh", ...strace];
  expect(failure(await sh("unshare", words, { env: { PATH: host.path } }))).toBe("");
  expect(readFileSync(trace, "utf8")).toMatch(/unified\/.*\/cgroup\.freeze", O_WRONLY/);
  await expectOn(live, 2);
});

describe("without a control group of its own", () => {
  it("all processes are stopped by signals, and those that were stopped stay so", async () => {
    const live = await run(WORKER, () => {}, "--cgroup-manager=disabled");
    await work(live, "sleep 1000 & echo $! >/pid; kill -STOP $!; touch /ready");
    const done = await rebase("b@2");
    expect(done).toMatchObject({
      status: 0,
      stderr: expect.stringContaining("no control group of its own"),
    });
    await expectOn(live, 2);
    expect(await live.exec("grep State /proc/$(cat /pid)/status")).toContain("T (stopped)");
    await live.exec("kill -KILL $(cat /pid)");
  });

  it("one that others are in is not frozen", async () => {
    const live = await run();
    const other = spawn("sh", ["-c", "while :; do sleep 0.01; done"]);
    try {
      const groups = readFileSync(`/proc/${live.pid}/cgroup`, "utf8").split("\n");
      for (const line of groups) {
        const [, controllers, path] = /^[0-9]+:([^:]*):(.*)$/.exec(line) ?? [];
        if (controllers === undefined || !(controllers === "" || controllers === "freezer")) continue;
        const places = controllers === "" ? ["unified", "."] : ["freezer"];
        for (const place of places) {
          try {
            writeFileSync(join("/sys/fs/cgroup", place, path as string, "cgroup.procs"), String(other.pid));
          } catch {
            // mounted elsewhere
          }
        }
      }
      expect(await rebase("b@2")).toMatchObject({
        status: 0,
        stderr: expect.stringContaining("no control group of its own"),
      });
      await expectOn(live, 2);
    } finally {
      other.kill("SIGKILL");
      await new Promise((resolve) => other.once("exit", resolve));
    }
  });
});

it("a paused container stays paused, and goes on with the new root", async () => {
  const live = await run();
  expect(await runtime(host, "runc", ["pause", live.id])).toMatchObject({ status: 0 });
  expect(failure(await rebase("b@2"))).toBe("");
  expect(JSON.parse((await runtime(host, "runc", ["state", live.id])).stdout)).toMatchObject({
    status: "paused",
  });
  expect(await runtime(host, "runc", ["resume", live.id])).toMatchObject({ status: 0 });
  await expectOn(live, 2);
});

it("mounts that are shared with the host stay so", async () => {
  const shared = join(host.dir, "shared");
  mkdirSync(shared, { recursive: true });
  await must("mount", ["-t", "tmpfs", "shared", shared]);
  await must("mount", ["--make-shared", shared]);
  try {
    const live = await run(WORKER, (config) => {
      config.linux.rootfsPropagation = "shared";
      const options = ["rbind", "rshared"];
      config.mounts.push({ destination: "/shared", type: "bind", source: shared, options });
    });
    const before = live.mounts();
    expect(failure(await rebase("b@2"))).toBe("");
    expect(live.mounts().filter((line) => !line.startsWith("root "))).toEqual(
      before.filter((line) => !line.startsWith("root ")),
    );
    await live.exec(
      "mkdir /shared/inner; mount -t tmpfs from-inside /shared/inner; touch /shared/inner/seen",
    );
    expect(existsSync(join(shared, "inner/seen"))).toBe(true);
    await expectOn(live, 2);
    await live.stop();
    container = undefined;
    expect(veneerOverlays()).toEqual([]);
  } finally {
    await must("umount", ["-l", shared]);
  }
});

it("an upper in memory is refused", async () => {
  const live = await begin(host, "runc wrapped", "sleep 100", undefined, (config) => {
    config.annotations["run.veneer.tmpfs"] = "8m";
  });
  container = live;
  expect(await host.veneer("rebase", live.id, "b@2")).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("keeps its writes in memory"),
  });
  expect(await live.exec("cat /etc/version")).toBe("1");
});

describe("mounts made inside", () => {
  it("a root that was made shared stays shared, and mounts in its group too", async () => {
    const live = await run();
    await live.exec("mkdir -p /mnt/a; mount -t tmpfs inside /mnt/a; busybox mount --make-rshared /");
    const before = live.mounts();
    expect(before.join("\n")).toMatch(/^root \/ .* shared$/m);
    expect(failure(await rebase("b@2"))).toBe("");
    expect(live.mounts()).toEqual(before);
    await expectOn(live, 2);
  });

  it("a part of the root that is mounted elsewhere follows, as it was mounted", async () => {
    const live = await run();
    await live.exec(
      "mkdir -p /mnt/etc; mount --bind /etc /mnt/etc; mount -o remount,bind,ro,nosuid /mnt/etc",
    );
    await live.exec("mount --bind /etc/version /etc/only-1");
    const options = () =>
      readFileSync(`/proc/${live.pid}/mountinfo`, "utf8").match(/\/etc \/mnt\/etc (\S+)/)?.[1];
    const before = options();
    expect(before).toContain("nosuid");
    expect(failure(await rebase("b@2"))).toBe("");
    expect(options()).toBe(before);
    expect(await live.exec("cat /mnt/etc/version; ls /mnt/etc | grep only")).toBe("2\nonly-1\nonly-2");
    expect(await live.exec("cat /etc/only-1")).toBe("2");
    await expectOn(live, 2);
    expect(await host.ok("ps", "--stale")).not.toContain("/mnt/etc");
  });

  it("such a part with further mounts on it is refused", async () => {
    const live = await run();
    await live.exec("mkdir -p /mnt/etc /etc/x; mount --bind /etc /mnt/etc; mount -t tmpfs on /mnt/etc/x");
    for (const options of [[], ["--dry-run"]]) {
      expect(await rebase("b@2", ...options)).toMatchObject({
        status: 1,
        stderr: expect.stringContaining("/mnt/etc in container"),
      });
    }
    await expectOn(live, 1);
  });

  it("a container that ends before it is frozen is said to have ended", async () => {
    const live = await run();
    const groups = readFileSync(`/proc/${live.pid}/cgroup`, "utf8");
    const group = (line: RegExp) => line.exec(groups)?.[1];
    const v1 = group(/^[0-9]+:(?:.*,)?freezer(?:,.*)?:(.*)$/m);
    const file = v1 ? `freezer${v1}/freezer.state` : `${group(/^0::\/(.*)$/m)}/cgroup.freeze`;
    const gone = [...inject("openat", "error=ENOENT"), "-P", join("/sys/fs/cgroup", file)];
    const words = [...gone, join(host.bin, "veneer"), "rebase", instance, "b@2"];
    expect(await sh("strace", words, { env: { PATH: host.path } })).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/the container has ended meanwhile.*\[NOT_RUNNING\]/),
    });
    await expectOn(live, 1);
  });

  it("mounts on one another are moved from Linux 6.5 on, and refused before", async () => {
    const live = await run();
    await live.exec("mkdir -p /mnt/two; mount -t tmpfs below /mnt/two; mount -t tmpfs above /mnt/two");
    // a kernel that does not know MOVE_MOUNT_BENEATH
    const words = [
      ...inject("move_mount", "error=EINVAL:when=1"),
      join(host.bin, "veneer"),
      "rebase",
      instance,
    ];
    const refused = await sh("strace", [...words, "b@2"], { env: { PATH: host.path } });
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/\/mnt\/two .*hint: Linux 6\.5/),
    });
    await expectOn(live, 1);
    const outcome = failure(await rebase("b@2"));
    if (isLinux("6.5")) {
      expect(outcome).toBe("");
      await expectOn(live, 2);
    } else expect(outcome).toContain("Linux 6.5");
  });

  it("a namespace with a copy of the root follows, with the parts that it has of it and mounts of its own", async () => {
    const live = await run();
    const inside =
      "mount --bind /bin /bin; mount -o remount,bind,ro /bin; mount -t tmpfs own /home; touch /ready";
    await work(live, `busybox unshare -m sh -c '${inside}; exec sleep 1001' &`);
    const pid = Number(
      (await must("pgrep", ["-f", "^sleep 1001$"])).split("\n").find((one) => isOf(live, Number(one))),
    );
    const table = () => readFileSync(`/proc/${pid}/mountinfo`, "utf8");
    const before = table();
    expect(failure(await rebase("b@2"))).toBe("");
    expect(readFileSync(`/proc/${pid}/root/etc/version`, "utf8")).toBe("2\n");
    expect(table().split("\n").length).toBe(before.split("\n").length);
    expect(table()).toMatch(/ \/bin \/bin ro,/);
    expect(table()).toMatch(/ \/home rw,\S+ - tmpfs own/);
    expect(table()).not.toContain(`${instance}/1/upper,workdir=`);
    await expectOn(live, 2);
  });

  it("something over the root is refused", async () => {
    const live = await run();
    await live.exec("mount -t tmpfs over /");
    expect(await rebase("b@2")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("another mount covers"),
    });
    await expect.poll(() => readFileSync(`/proc/${live.pid}/root/seen`, "utf8")).toBe("1\n");
  });
});

describe("what stays on the old root", () => {
  it("is listed, keeps the old version, and goes when its processes end", async () => {
    const live = await run(WORKER, withPerl);
    await work(
      live,
      `cd /etc; exec 7</etc/only-1
       /usr/bin/perl -e '$p = "/etc/passwd"; syscall(254, syscall(294, 0), $p, 2); open R, ">", "/ready"; sleep 1002' &
       exec sleep 1000`,
    );
    const done = await rebase("b@2", "--json");
    expect(failure(done)).toBe("");
    const { live: report } = JSON.parse(done.stdout);
    expect(report.pause).toBeGreaterThan(0);
    const stale: { kind: string; path: string; command: string }[] = report.stale;
    // busybox is the same in both versions: who runs it needs no restart for its sake
    expect(stale.map(({ path }) => path)).not.toContain("/bin/busybox");
    const sleeper = expect.stringContaining("sleep 1000");
    expect(stale).toContainEqual(
      expect.objectContaining({ kind: "working directory", path: "/etc", command: sleeper }),
    );
    expect(stale).toContainEqual(
      expect.objectContaining({ kind: "file", path: "/etc/only-1", command: sleeper }),
    );
    expect(stale).toContainEqual(
      expect.objectContaining({ kind: "watch", command: expect.stringContaining("perl") }),
    );
    const left = async (...words: string[]) =>
      JSON.parse(await host.ok("ps", "--stale", instance, "--json", ...words)) as typeof stale;
    expect((await left("--all")).length).toBeGreaterThanOrEqual(stale.length - 2);
    expect((await left("--all")).map(({ path }) => path)).toContain("/bin/busybox");
    const paths = (await left()).map(({ path }) => path);
    expect(paths).not.toContain("/bin/busybox");
    expect(paths).toContain("/etc/only-1");
    expect(await host.ok("ps", "--stale")).toContain("working directory");

    // the versions below it are in use
    expect(await host.veneer("base", "rm", "b@1")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("that need a restart"),
    });
    await live.exec("kill -KILL $(busybox pidof sleep perl) 2>/dev/null; true");
    const kinds = async () =>
      JSON.parse(await host.ok("ps", "--stale", "--json")).map(({ kind }: { kind: string }) => kind);
    await expect.poll(kinds).not.toContain("working directory");
  });
});

describe("fallback", () => {
  const onSecond = (config: Config) => {
    config.annotations["run.veneer.base"] = "b@2";
  };

  it("leads a running container to another generation and back, with the changes of each", async () => {
    await host.ok("cutover", instance, "b@2");
    const live = await run(
      "echo second >/mine; while :; do cat /etc/version >/seen; sleep 0.02; done",
      onSecond,
    );
    await expectOn(live, 2);
    const back = await host.veneer("fallback", instance);
    expect(back).toMatchObject({ status: 0, stderr: expect.stringMatching(/was paused for/) });
    await expectOn(live, 1);
    expect(await live.exec("ls /mine 2>/dev/null || echo none")).toBe("none");
    await live.exec("echo first >/mine");
    expect(failure(await host.veneer("fallback", instance, "--to", "2"))).toBe("");
    await expectOn(live, 2);
    expect(await live.exec("cat /mine; echo third >>/mine")).toBe("second");
    expect(failure(await host.veneer("fallback", instance))).toBe("");
    await expectOn(live, 1);
    expect(await live.exec("cat /mine")).toBe("first");
    await live.stop();
    container = undefined;
    expect(failure(await host.veneer("fallback", instance, "--to", "2"))).toBe("");
    const again = await run("sleep 100", onSecond);
    expect(await again.exec("cat /mine")).toBe("second\nthird");
  });

  it("is refused while a file of the generation is open for writing", async () => {
    await host.ok("cutover", instance, "b@2");
    const live = await run(
      "exec 7>>/log; while :; do cat /etc/version >/seen; echo x >&7; sleep 0.02; done",
      onSecond,
    );
    expect(await host.veneer("fallback", instance)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/\/log .*belongs to the generation that is left/),
    });
    await expectOn(live, 2);
    expect(failure(await host.veneer("fallback", instance, "--force"))).toBe("");
    await expectOn(live, 1);
  });
});
