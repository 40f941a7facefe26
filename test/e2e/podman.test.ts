/** podman's containers on a base: by the wrapping runtime, by the hook at createRuntime, by the one at precreate. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { label } from "../helpers/app-image.ts";
import { makeHost, must, PROGRAM, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { veneerOverlays } from "../helpers/mounts.ts";
import { IMAGE, makePodman, monitors, type Podman, ways } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";
import { waitFor } from "../helpers/wait.ts";

const host = makeHost();
let podman: Podman;
const volume = join(host.dir, "volume");
const NET = ["--network", "none"];
const ON_BASE = ["--annotation", "run.veneer.base=debian"];
// podman exec takes the limits that podman would like, whatever a hook made of them
const LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
const KEPT = [
  ...ON_BASE,
  "--annotation",
  "run.veneer.instance=web1",
  "--annotation",
  "run.veneer.upper=persistent",
];

beforeAll(async () => {
  await host.ok("base", "import", "debian", label(makeTree(join(host.dir, "base")), "base"));
  mkdirSync(volume);
  writeFileSync(join(volume, "file"), "of the volume\n");
  podman = await makePodman(host);
});

afterAll(async () => {
  await podman?.removeAll();
  await host.remove();
});

afterEach(async () => {
  await podman.removeAll();
  expect(await host.veneer("rm", "web1")).toBeDefined();
  await expect.poll(() => leftovers(host)).toEqual([]);
  expect(veneerOverlays()).toEqual([]);
  expect(monitors(host.dir)).toEqual([]);
});

describe.each(ways(host))("$name", ({ name, runtime, hook }) => {
  const run = (...args: string[]) => podman.run(["--runtime", runtime, "run", ...NET, ...args]);
  const ok = (...args: string[]) => podman.ok("--runtime", runtime, ...args);
  const onBase = (...command: string[]) => run("--rm", ...ON_BASE, IMAGE, ...command);

  beforeAll(() => podman.useHook(hook));

  it("gives a container the base, an empty /tmp and /root, and its own exit status", async () => {
    const outcome = await onBase("sh", "-c", "cat /etc/which; ls -A /tmp /root; echo oops >&2; exit 7");
    expect(outcome).toMatchObject({ status: 7, stdout: "base\n/root:\n\n/tmp:", stderr: "oops" });
  });

  it("leaves a container alone that names no base", async () => {
    expect(await run("--rm", IMAGE, "cat", "/etc/which")).toMatchObject({ status: 0, stdout: "image" });
  });

  it("starts a stopped container on a new upper, runs commands in it, restarts it", async () => {
    const script = "echo had $(cat /kept); echo it >/kept; trap 'exit 3' TERM; while :; do sleep 0.1; done";
    const id = await ok("run", "-d", ...NET, ...LIMITS, ...ON_BASE, IMAGE, "sh", "-c", script);
    const logs = () => podman.ok("logs", id);
    await waitFor(async () => (await podman.run(["exec", id, "cat", "/kept"])).status === 0);
    expect(await podman.ok("exec", id, "cat", "/etc/which", "/kept")).toBe("base\nit");
    expect((await podman.run(["exec", id, "sh", "-c", "exit 5"])).status).toBe(5);
    expect((await host.ok("ps")).includes(id)).toBe(true);
    await podman.ok("stop", "-t", "5", id);
    expect(await podman.ok("inspect", id, "--format", "{{.State.ExitCode}}")).toBe("3");
    await expect.poll(() => leftovers(host)).toEqual([]);
    await podman.ok("start", id);
    await waitFor(async () => (await logs()).split("\n").length === 2);
    await podman.ok("restart", "-t", "5", id);
    await waitFor(async () => (await logs()).split("\n").length === 3);
    expect(await logs()).toMatch(/^(had *\n?){3}$/);
    await podman.ok("rm", "-f", "-t", "0", id);
  });

  it("keeps a named upper over stop and start, and gives it to another container after rm", async () => {
    const script = "echo $(cat /kept | wc -l); echo it >>/kept";
    expect(await ok("run", "--name", "first", ...NET, ...KEPT, IMAGE, "sh", "-c", script)).toBe("0");
    expect(await podman.ok("start", "-a", "first")).toBe("1");
    await podman.ok("rm", "first");
    expect(await ok("run", "--rm", ...NET, ...KEPT, IMAGE, "sh", "-c", script)).toBe("2");
    await host.ok("rm", "web1");
  });

  it("refuses a second container on a named upper and names the holder", async () => {
    const id = await ok("run", "-d", ...NET, ...KEPT, IMAGE, "sleep", "1000");
    const second = await run("--rm", ...KEPT, IMAGE, "true");
    expect(second.status).toBe(126);
    if (name !== "createRuntime with crun") expect(second.stderr).toContain(id.slice(0, 12));
    await podman.ok("rm", "-f", "-t", "0", id);
    expect((await run("--rm", ...KEPT, IMAGE, "true")).status).toBe(0);
    await host.ok("rm", "web1");
  });

  it("has volumes on paths that the base lacks, a read-only root, tmpfs and files of podman's", async () => {
    const script = `touch /new; touch /scratch/a && ls /scratch; cat /data/deep/file /etc/extra
      touch /data/deep/x; grep -c . /etc/hosts >/dev/null && cat /etc/hostname`;
    const outcome = await run(
      ...["--rm", ...ON_BASE, "--hostname", "web", "--read-only", "--tmpfs", "/scratch"],
      ...["-v", `${volume}:/data/deep:ro`, "-v", `${join(volume, "file")}:/etc/extra`],
      ...[IMAGE, "sh", "-c", script],
    );
    expect(outcome.stdout).toBe("a\nof the volume\nof the volume\nweb");
    expect(outcome.stderr).toMatch(
      /\/new: Read-only file system[\s\S]*\/data\/deep\/x: Read-only file system/,
    );
  });

  it.each(["", ":O"])("takes --rootfs DIR%s in place of an image", async (suffix) => {
    const empty = join(host.dir, "empty");
    mkdirSync(empty, { recursive: true });
    const args = ["--rm", ...ON_BASE, "--rootfs", `${empty}${suffix}`, "/bin/cat", "/etc/which"];
    expect(await run(...args)).toMatchObject({ status: 0, stdout: "base" });
  });

  it("has a terminal with -t", async () => {
    const command = `podman --runtime ${runtime} run --rm -t ${[...NET, ...ON_BASE].join(" ")} ${IMAGE} sh -c 'tty; cat /etc/which; exit 4'`;
    const outcome = await sh("script", ["-qec", command, "/dev/null"], { env: podman.env });
    expect(outcome).toMatchObject({ status: 4, stdout: expect.stringMatching(/^\/dev\/pts\/0\r?\nbase/) });
  });

  it("does not start a container whose base does not exist, and says why in one line", async () => {
    const outcome = await run("--rm", "--annotation", "run.veneer.base=nosuch", IMAGE, "true");
    expect(outcome.status).toBe(126);
    // crun's stderr goes nowhere under podman, and it writes no more than "error executing hook" to its log
    if (name === "createRuntime with crun") return;
    const lines = outcome.stderr.split("\n").filter((line) => line.includes("no base nosuch"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("veneer base import nosuch SOURCE");
  });
});

describe("podman's own ways", () => {
  it("is set up by name in containers.conf, with the messages of the runtime as they are", async () => {
    const conf = join(host.dir, "named.conf");
    await must("sh", [
      "-c",
      `{ cat "$1"; printf '[engine.runtimes]\\nveneer-runc = ["%s"]\\n' "$2"; } >"$3"`,
      "sh",
      podman.env.CONTAINERS_CONF as string,
      join(host.bin, "veneer-runc"),
      conf,
    ]);
    podman.useHook("none");
    const env = { ...podman.env, CONTAINERS_CONF: conf };
    const named = (...args: string[]) =>
      sh("podman", ["--runtime", "veneer-runc", "run", "--rm", ...NET, ...args], { env });
    expect(await named(...ON_BASE, IMAGE, "cat", "/etc/which")).toMatchObject({ status: 0, stdout: "base" });
    const missing = await named(...ON_BASE, IMAGE, "/nosuch");
    expect(missing).toMatchObject({ status: 127 });
    expect(missing.stderr).toMatch(/^Error: veneer-runc: runc create failed: .*no such file or directory/);
  });

  it("is set up by veneer setup podman, runtime and hook", async () => {
    const etc = join(host.dir, "etc");
    await host.ok("setup", "podman", "--etc", etc);
    const hook = join(etc, "containers/oci/hooks.d/veneer.json");
    writeFileSync(hook, readFileSync(hook, "utf8").replace(PROGRAM, join(host.bin, "veneer")));
    // the whole configuration is the file and what is dropped in beside it
    const conf = join(host.dir, "set-up.conf");
    const own = readFileSync(podman.env.CONTAINERS_CONF as string, "utf8");
    const dropped = readFileSync(join(etc, "containers/containers.conf.d/veneer.conf"), "utf8");
    const hooksDir = /^hooks_dir = \[(.*)\]$/m;
    const both = [own, dropped].map((text) => hooksDir.exec(text)?.[1]).join(", ");
    writeFileSync(conf, own.replace(hooksDir, `hooks_dir = [${both}]`));
    podman.useHook("none");
    const env = { ...podman.env, CONTAINERS_CONF: conf };
    const args = ["run", "--rm", ...NET, ...ON_BASE, IMAGE, "cat", "/etc/which"];
    expect(await sh("podman", args, { env })).toMatchObject({ status: 0, stdout: "base" });
    await host.ok("unsetup", "podman", "--etc", etc);
    expect(existsSync(hook)).toBe(false);
  });

  it.each(["veneer-runc", "veneer-crun"])(
    "keeps an upper under the id of its container: %s",
    async (name) => {
      podman.useHook("none");
      const args = ["--network", "none", ...ON_BASE, "--annotation", "run.veneer.upper=persistent", IMAGE];
      const script = "cat /kept; echo it >>/kept";
      const first = await podman.run([
        ...["--runtime", join(host.bin, name), "run", "--name", "kept", ...args],
        ...["sh", "-c", script],
      ]);
      expect(first.stderr).toContain("/kept");
      const id = await podman.ok("inspect", "kept", "--format", "{{.Id}}");
      expect(await podman.ok("start", "-a", "kept")).toBe("it");
      await podman.ok("rm", "kept");
      expect(await host.ok("ls")).toContain(id);
      await host.ok("rm", id);
    },
  );
});
