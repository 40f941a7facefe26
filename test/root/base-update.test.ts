import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { compileFixture, makeHost, must } from "../helpers/host.ts";
import { addImage, tarOf } from "../helpers/image.ts";
import { startRegistry } from "../helpers/registry.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
/** Removes blobs that are not JSON. */
const DROP = 'for one; do [ "$(head -c 1 "$one")" = "{" ] || rm "$one"; done';
const config = join(host.dir, "etc/config.json");
const log = join(host.dir, "log");
const veneer = (...args: string[]) => host.veneer("--config", config, ...args);
const policy = (name: string, content: object) =>
  writeFileSync(join(host.dir, `etc/bases.d/${name}.json`), JSON.stringify(content));
const update = async (name: string, ...words: string[]) => {
  const { stdout, stderr, status } = await veneer("base", "update", name, "--json", ...words);
  const [result] = stdout === "" ? [] : JSON.parse(stdout);
  return { ...result, status, stderr };
};
const current = async (name: string) => JSON.parse(await host.ok("base", "show", name, "--json")).version;
const versionOf = async (id: string) => JSON.parse(await host.ok("inspect", id, "--json")).version;
const running = async () => JSON.parse(await host.ok("ps", "--json"));
const logged = () => readFileSync(log, "utf8").trimEnd().split("\n");

beforeAll(async () => {
  mkdirSync(join(host.dir, "etc/bases.d"), { recursive: true });
  writeFileSync(config, "{}");
  makeTree(join(host.dir, "source"));
  await host.ok("base", "import", "debian", join(host.dir, "source"));
});
beforeEach(() => writeFileSync(log, ""));
afterAll(() => host.remove());

describe("base update", () => {
  it("makes, checks and rolls out what a command changes, and nothing when it changes nothing", async () => {
    await host.ok("create", "web", "debian");
    await host.ok("mount", "web");
    writeFileSync(join(host.dir, "text"), "first");
    policy("debian", {
      source: {
        command: "cat /mnt/text >/etc/text; echo x >/var/junk",
        volumes: [`${host.dir}/text:/mnt/text:ro`],
        discard: ["/var/junk"],
      },
      check: { command: "! grep bad /etc/text" },
      rollout: { canary: 1, check: `! grep worse "$VENEER_ROOTFS/etc/text"` },
      keep: { versions: 0 },
      onSuccess: `echo "success $VENEER_BASE@$VENEER_VERSION" >>${log}`,
      onFailure: `echo "failure $VENEER_BASE@$VENEER_CANDIDATE $VENEER_MESSAGE" >>${log}`,
    });
    expect(await update("debian")).toMatchObject({ status: 0, outcome: "updated", version: 2 });
    expect(logged()).toEqual(["success debian@2"]);
    expect([await current("debian"), await versionOf("web")]).toEqual([2, 2]);
    expect(JSON.parse(await host.ok("base", "log", "debian", "--json"))).toHaveLength(1);
    expect(await update("debian")).toMatchObject({ status: 0, outcome: "unchanged", version: 2 });
    expect(logged()).toHaveLength(1);
  });

  it("remembers what fails in a container of its own, and skips the same until --retry", async () => {
    writeFileSync(join(host.dir, "text"), "bad");
    const failed = await update("debian");
    expect(failed).toMatchObject({ status: 1, outcome: "failed", version: 2, candidate: 3 });
    expect(failed.message).toMatch(/check of debian@3 failed/);
    expect(logged()[0]).toMatch(/^failure debian@3 check of debian@3 failed/);
    expect(await update("debian")).toMatchObject({ status: 0, outcome: "skipped", candidate: 3, version: 2 });
    expect(await update("debian", "--retry")).toMatchObject({ status: 1, outcome: "failed", candidate: 3 });
    expect([await current("debian"), await versionOf("web")]).toEqual([2, 2]);
  });

  it("ends the container of a check that takes too long", async () => {
    const file = join(host.dir, "etc/bases.d/debian.json");
    const before = readFileSync(file, "utf8");
    policy("debian", { ...JSON.parse(before), check: { command: "sleep 1000", seconds: 1 } });
    writeFileSync(join(host.dir, "text"), "slow");
    const failed = await update("debian");
    expect(failed).toMatchObject({
      status: 1,
      outcome: "failed",
      message: expect.stringContaining("status 124"),
    });
    expect(await running()).toHaveLength(1);
    writeFileSync(file, before);
  });

  it("kills the container of a check whose shell heeds no signal", async () => {
    const tree = makeTree(join(host.dir, "deaf"));
    rmSync(join(tree, "bin/sh"));
    await compileFixture("deaf", join(tree, "bin/sh"));
    policy("deaf", { source: { directory: tree }, check: { command: "true", seconds: 1 }, rollout: false });
    // the first version is the current one at once, before any check
    expect(await update("deaf")).toMatchObject({ status: 0, outcome: "updated", version: 1 });
    writeFileSync(join(tree, "etc/text"), "second");
    expect(await update("deaf")).toMatchObject({ status: 1, outcome: "failed" });
    expect(await running()).toHaveLength(1);
    rmSync(join(host.dir, "etc/bases.d/deaf.json"));
  });

  it("takes back what fails its check in the rollout", async () => {
    writeFileSync(join(host.dir, "text"), "worse");
    const failed = await update("debian");
    expect(failed).toMatchObject({ status: 1, outcome: "failed", version: 2 });
    expect(failed.message).toMatch(/rollout of debian@\d+: web: check failed/);
    expect([await current("debian"), await versionOf("web")]).toEqual([2, 2]);
    writeFileSync(join(host.dir, "text"), "good");
    expect(await update("debian")).toMatchObject({ status: 0, outcome: "updated" });
    expect(await versionOf("web")).toBe(await current("debian"));
  });

  it("goes on with a round that was killed", async () => {
    writeFileSync(join(host.dir, "text"), "later");
    const file = join(host.dir, "etc/bases.d/debian.json");
    const before = readFileSync(file, "utf8");
    const slow = JSON.parse(before);
    policy("debian", { ...slow, check: { command: "sleep 1000" } });
    const child = spawn(join(host.bin, "veneer"), ["--config", config, "base", "update", "debian"]);
    const ended = once(child, "exit");
    // the check runs in its container: its first process heeds SIGTERM from before it starts the command
    const commands = async () => {
      const { pid } = (await running()).find(({ engine }: { engine: string }) => engine === "runtime") ?? {};
      return pid ? readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim() : "";
    };
    await expect.poll(commands, { timeout: 120_000 }).not.toBe("");
    expect(await running()).toHaveLength(2);
    child.kill("SIGKILL");
    await ended;
    await expect.poll(running, { timeout: 120_000 }).toHaveLength(1);
    const { candidate } = JSON.parse(readFileSync(join(host.root, "bases/debian/update/state.json"), "utf8"));
    writeFileSync(file, before);
    expect(await veneer("base", "update", "debian", "--dry-run")).toMatchObject({
      stdout: expect.stringContaining(`debian: continue with debian@${candidate}, then check`),
    });
    expect(await update("debian")).toMatchObject({ outcome: "updated", version: candidate });
  });

  it("follows a directory, and another base", async () => {
    policy("copy", { source: { directory: join(host.dir, "source") }, rollout: false });
    expect(await update("copy")).toMatchObject({ outcome: "updated", version: 1 });
    expect(await update("copy")).toMatchObject({ outcome: "unchanged", version: 1 });
    writeFileSync(join(host.dir, "source/etc/more"), "");
    expect(await update("copy")).toMatchObject({ outcome: "updated", version: 2 });
    policy("apps", { source: { base: "copy", command: "ls /etc >/list" } });
    expect(await update("apps")).toMatchObject({ outcome: "updated", version: 1 });
    await host.ok("base", "edit", "copy", "--", "touch", "/etc/most");
    expect(await update("apps")).toMatchObject({ outcome: "updated", version: 2 });
    expect(JSON.parse(await host.ok("base", "show", "apps", "--json")).from).toEqual({
      name: "copy",
      version: 3,
    });
    expect(await update("apps")).toMatchObject({ outcome: "unchanged" });
    expect(await host.ok("run", "apps", "--", "grep", "most", "/list")).toBe("most");
    expect(
      JSON.parse(await host.ok("base", "ls", "--json")).map(({ name }: { name: string }) => name),
    ).not.toContain("apps.update");
  });

  it("repeats what a failed step says, with its one hint and its one code", async () => {
    policy("nowhere", { source: { image: `oci:${host.dir}/nowhere` } });
    const { message } = await update("nowhere");
    expect(message).toMatch(/^import oci:.*no such file or directory.* \[NO_IMAGE\]$/);
    expect(message.match(/\[[A-Z_]+\]/g)).toHaveLength(1);
    rmSync(join(host.dir, "etc/bases.d/nowhere.json"));
  });

  it("follows an image by its tag, and fetches none again that brought nothing new or what failed", async () => {
    const registry = await startRegistry(join(host.dir, "registry"));
    try {
      const reference = `docker://${registry.address}/some/app:latest`;
      const push = async (text: string, mtime: number) => {
        const at = join(host.dir, `layout ${mtime}`);
        const layer = tarOf([
          { name: "./", type: "5" },
          ...["bin/", "etc/"].map((name) => ({ name, type: "5" })),
          { name: "etc/text", data: text, mtime },
        ]);
        addImage(at, "t", [layer]);
        await must("skopeo", ["copy", "--dest-tls-verify=false", `oci:${at}:t`, reference]);
      };
      // the registry keeps what tells the digest, and no layer
      const dropLayers = () =>
        must("find", [
          registry.blobs,
          "-name",
          "data",
          "-size",
          "+0",
          "-exec",
          "sh",
          "-c",
          DROP,
          "sh",
          "{}",
          "+",
        ]);
      policy("app", {
        source: { image: reference, tlsVerify: false },
        rollout: { check: "exit 0" },
      });
      await push("one", 1_300_000_000);
      expect(await update("app")).toMatchObject({ outcome: "updated", version: 1 });
      // another build of the same tree
      await push("one", 1_400_000_000);
      expect(await update("app")).toMatchObject({ outcome: "unchanged", version: 1 });
      await dropLayers();
      expect(await update("app")).toMatchObject({ status: 0, outcome: "unchanged", version: 1 });
      expect(
        await host.veneer("base", "import", "app", reference, "--once", "--tls-verify=false"),
      ).toMatchObject({ status: 0, stdout: "app@1" });
      // what fails is skipped, and so is another build of it
      policy("app", {
        source: { image: reference, tlsVerify: false },
        check: { command: "exit 3" },
        rollout: false,
      });
      await push("two", 1_500_000_000);
      expect(await update("app")).toMatchObject({ outcome: "failed", candidate: 2 });
      await push("two", 1_600_000_000);
      expect(await update("app")).toMatchObject({ outcome: "skipped", candidate: 2 });
      await dropLayers();
      expect(await update("app")).toMatchObject({ status: 0, outcome: "skipped", candidate: 2 });
      expect(
        (await host.veneer("base", "import", "app", reference, "--once", "--tls-verify=false")).status,
      ).toBe(1);
    } finally {
      rmSync(join(host.dir, "etc/bases.d/app.json"), { force: true });
      await registry.stop();
    }
  });

  it("does every base that has a policy with --all, and says what is wrong with one", async () => {
    policy("broken", { source: {} });
    const { stdout, status } = await veneer("base", "update", "--all");
    expect(status).toBe(1);
    expect(stdout.split("\n").map((line) => line.split(":")[0])).toEqual([
      "apps",
      "broken",
      "copy",
      "debian",
    ]);
    expect(stdout).toMatch(/^broken: failed: .*broken\.json/m);
    expect((await veneer("base", "update")).status).toBe(2);
    expect((await veneer("base", "update", "nosuch")).stdout).toMatch(
      /nosuch: failed: base nosuch has no policy/,
    );
  });
});

it("base policy shows each value and where it comes from", async () => {
  const { stdout } = await veneer("base", "policy", "copy");
  expect(stdout).toMatch(/^schedule = "daily" {2}\(default\)$/m);
  expect(stdout).toMatch(/^rollout = false {2}\(.*bases\.d\/copy\.json\)$/m);
  expect((await veneer("base", "policy", "nosuch")).stderr).toContain("bases.d/nosuch.json does not exist");
});

it("setup updates writes units that systemd understands, and takes them back", async () => {
  policy("broken", { source: { directory: "/srv" }, schedule: "Mon..Fri 03:00" });
  const etc = join(host.dir, "etc");
  expect((await veneer("setup", "updates", "--etc", etc)).status).toBe(0);
  const units = join(etc, "systemd/system");
  const service = readFileSync(join(units, "veneer-update@.service"), "utf8");
  expect(service).toMatch(new RegExp(`^ExecStart=.*/veneer .*--root ${host.root} .*base update %i$`, "m"));
  const [, calendar] =
    /^OnCalendar=(.+)$/m.exec(
      readFileSync(join(units, "veneer-update@broken.timer.d/schedule.conf"), "utf8"),
    ) ?? [];
  await must("systemd-analyze", ["calendar", calendar as string]);
  expect((await veneer("unsetup", "updates", "--etc", etc)).status).toBe(0);
  await expect(must("ls", [join(units, "veneer-update@.service")])).rejects.toThrow();
});
