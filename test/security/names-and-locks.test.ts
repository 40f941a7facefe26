/** What anybody on the host can do beside veneer: choose names that write to a terminal, and hold locks. */
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must, type Outcome, sh } from "../helpers/host.ts";

const host = makeHost("/srv");
/** clears the screen, sets the title, turns the direction of writing, and begins a line of its own */
const EVIL = "\x1b[2J\x1b]0;x\x07\u009b31m\u202e\r\nveneer: all is well";
const evilDirectory = join(host.dir, `tree${EVIL}`);

function status(version: string): string {
  return `Package: tool\x1b[31m\u009b1m\nStatus: install ok installed\nArchitecture: all\nVersion: ${version}\n`;
}

beforeAll(async () => {
  chmodSync(host.dir, 0o755);
  for (const dir of ["bin", "etc", "var/lib/dpkg"]) mkdirSync(join(evilDirectory, dir), { recursive: true });
  writeFileSync(join(evilDirectory, `etc/file${EVIL}`), "1");
  writeFileSync(join(evilDirectory, "var/lib/dpkg/status"), status("1"));
  await host.ok("base", "import", "evil", evilDirectory);
  await host.ok("create", "one", "evil");
  const target = join(host.dir, "mnt");
  mkdirSync(target);
  await host.ok("mount", "one", target);
  writeFileSync(join(target, `etc/file${EVIL}`), "mine");
  writeFileSync(join(target, `etc/new${EVIL}`), "");
  await host.ok("umount", "one");
  writeFileSync(join(evilDirectory, `etc/file${EVIL}`), "2");
  writeFileSync(join(evilDirectory, "var/lib/dpkg/status"), status("2"));
  await host.ok("base", "import", "evil", evilDirectory);
});
afterAll(() => host.remove());

describe("names that write to a terminal", () => {
  const harmless = ({ stdout, stderr }: Outcome) => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
    expect(stdout + stderr).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
    expect(`${stdout}\n${stderr}`).not.toMatch(/^veneer: all is well/m);
  };

  it.each([
    ["ls"],
    ["tree"],
    ["tree", "--dot"],
    ["df"],
    ["metrics"],
    ["base", "ls"],
    ["base", "log", "evil"],
    ["base", "show", "evil"],
    ["base", "verify", "evil"],
    ["base", "diff", "evil@1", "evil@2"],
    ["base", "diff", "--files", "evil@1", "evil@2"],
    ["inspect", "one"],
    ["diff", "one"],
    ["rebase", "one", "evil", "--dry-run"],
    ["gc", "--dry-run"],
    ["base", "import", "other", join(host.dir, `absent${EVIL}`)],
    ["inspect", `x${EVIL}`],
    ["run", "evil", "--name", `x${EVIL}`],
    ["rollout", "evil", "--dry-run"],
    [`verb${EVIL}`],
  ])("veneer %s %s", async (...words) => {
    harmless(await host.veneer(...words.filter((word) => word !== undefined)));
  });

  it("are the same in JSON, which stays JSON", async () => {
    const text = await host.ok("base", "show", "evil", "--json");
    harmless({ status: 0, stdout: text, stderr: "" });
    expect(JSON.parse(text).origin).toBe(`import of ${evilDirectory}`);
  });

  it("reach the log of starts as one line", async () => {
    const log = join(host.dir, "veneer.log");
    const config = join(host.dir, "log.json");
    writeFileSync(config, JSON.stringify({ root: host.root, run: host.run, log }));
    const env = { LXC_NAME: `x${EVIL}`, LXC_HOOK_TYPE: "pre-mount", LXC_HOOK_VERSION: "1" };
    const words = ["--config", config, "hook", "lxc", "--base", "evil"];
    harmless(await sh(join(host.bin, "veneer"), words, { env: { ...env, LXC_ROOTFS_PATH: `/${EVIL}` } }));
    const lines = await must("cat", [log]);
    harmless({ status: 0, stdout: lines, stderr: "" });
    expect(lines.trim().split("\n")).toHaveLength(1);
  });

  it("a log that is a FIFO keeps nobody waiting", async () => {
    const log = join(host.dir, "fifo.log");
    await must("mkfifo", [log]);
    const config = join(host.dir, "fifo.json");
    writeFileSync(config, JSON.stringify({ root: host.root, run: host.run, log }));
    const words = ["--config", config, "hook", "lxc", "--base", "evil"];
    const env = { LXC_NAME: "x", LXC_HOOK_TYPE: "pre-mount", LXC_ROOTFS_PATH: "/absent" };
    const started = Date.now();
    expect(await sh(join(host.bin, "veneer"), words, { env })).toMatchObject({ status: 1 });
    expect(Date.now() - started).toBeLessThan(60_000);
  });
});

describe("locks that another user of the host holds", () => {
  /** A user without any right locks a directory that it can read; returns what ends that. */
  async function locked(directory: string): Promise<() => void> {
    const ids = ["--reuid", "47998", "--regid", "47998", "--clear-groups"];
    const script = "exec flock -x -n \"$1\" sh -c 'echo locked; exec sleep 1000'";
    const child = spawn("setpriv", [...ids, "--", "sh", "-c", script, "sh", directory], {
      stdio: ["ignore", "pipe", "inherit"],
      detached: true,
    });
    const said = await new Promise<string>((resolve, reject) => {
      child.stdout.once("data", (data) => resolve(String(data)));
      child.once("exit", (status) => reject(new Error(`the lock was refused: ${status}`)));
    });
    expect(said.trim()).toBe("locked");
    return () => process.kill(-(child.pid as number), "SIGKILL");
  }

  it("on the place of shared bases: sharing goes on", async () => {
    await host.ok("base", "share", "evil");
    const end = await locked(`${host.run}-shared`);
    try {
      await host.ok("base", "share", "evil");
      await host.ok("base", "unshare", "evil");
    } finally {
      end();
    }
  });

  it("on a layout that is exported to: the export fails and says why", async () => {
    const layout = join(host.dir, "layout");
    await host.ok("base", "export", "evil", `oci:${layout}:1`);
    const end = await locked(layout);
    try {
      const refused = await host.veneer("base", "export", "evil", `oci:${layout}:2`);
      expect(refused).toMatchObject({ status: 1 });
      expect(refused.stderr).toMatch(/another process holds a lock on '.*layout'; hint: .* \[BUSY\]$/);
    } finally {
      end();
    }
    await host.ok("base", "export", "evil", `oci:${layout}:2`);
  });
});
