import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { beforeAll, describe, expect, it } from "vitest";
import { PROJECT, sh } from "../helpers/host.ts";
import { useHost } from "../helpers/use-host.ts";
import { waitFor } from "../helpers/wait.ts";

const host = useHost();
const place = join(host.dir, "tmp");
const script = join(PROJECT, "scripts/demo.sh");
beforeAll(() => mkdirSync(place));

/** What the demo can leave: its store, mounts, control groups and processes on it. */
async function leftOver(): Promise<string[]> {
  const mounts = (await sh("findmnt", ["-rno", "TARGET,SOURCE"])).stdout;
  const processes = (await sh("pgrep", ["-af", place])).stdout;
  return [...readdirSync(place), ...mounts.split("\n"), ...processes.split("\n")].filter((line) =>
    line.includes("veneer-demo-"),
  );
}

describe("demo", () => {
  it("runs three containers on the host's own root, and leaves nothing", async () => {
    const { status, stdout, stderr } = await sh("bash", [script], { env: { TMPDIR: place } });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    for (const name of ["web1", "web2", "web3"]) {
      expect(stdout).toContain(`written by ${name}\n`);
      expect(stdout).toContain(`entries in /tmp and /root of ${name}: 0`);
    }
    expect(stdout).toContain("cat: /etc/written: No such file or directory");
    expect(stdout).toContain("cat: /etc/shadow: No such file or directory");
    const inodes = [...stdout.matchAll(/\/bin\/sh is inode ([0-9]+)/g)].map(([, inode]) => inode);
    expect(inodes).toHaveLength(4);
    expect(new Set(inodes).size).toBe(1);
    expect(stdout).toMatch(/veneer run host -- true, .*: [0-9]+ ms/);
    expect(stdout).toContain("overlays mounted on this host by the demo: 0");
    expect(await leftOver()).toEqual([]);
  });

  it.each(["SIGINT", "SIGTERM"] as const)("leaves nothing when %s ends it", async (signal) => {
    const child = execa("bash", [script], { env: { TMPDIR: place }, reject: false, stdin: "ignore" });
    let said = "";
    child.stdout.on("data", (data) => {
      said += data;
    });
    await waitFor(() => said.includes("veneer ps"), 30_000);
    process.kill(child.pid as number, signal);
    expect((await child).exitCode).toBe(signal === "SIGINT" ? 130 : 143);
    await waitFor(async () => (await leftOver()).length === 0);
  });

  it("refuses an unknown option", async () => {
    expect(await sh("bash", [script, "--all"])).toMatchObject({ status: 2, stdout: "" });
  });
});
