/** A store on each file system that can hold one: what volatile, idmapping and reflink do there, on this kernel. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Host, makeHost, must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { openTo } from "../helpers/userns.ts";

const MAP = ["--uidmap", "0:100000:65536"];
const BIG = 4 << 20;

describe.each([
  ["ext4", "128M", false],
  ["xfs", "320M", true],
  ["btrfs", "256M", true],
  ["tmpfs", "128M", false],
] as const)("a store on %s", (type, size, shares) => {
  const dir = mkdtempSync(`/tmp/veneer-${type}-`);
  const point = join(dir, "point");
  let missing: string | undefined;
  let host: Host;

  beforeAll(async () => {
    mkdirSync(point);
    missing = await mountNew(type, size, dir, point);
    if (missing) return;
    host = makeHost(point);
    const tree = makeTree(join(host.dir, "tree"));
    writeFileSync(join(tree, "var/big"), new Uint8Array(BIG).fill(7));
    openTo(host, dir, point);
    await must("sync", ["-f", point]);
    await host.ok("base", "import", "b", tree);
  });
  beforeEach((context) => {
    if (missing) context.skip(missing);
  });
  afterAll(async () => {
    await sh("umount", [point]);
    rmSync(dir, { recursive: true, force: true });
  });

  const check = async (name: string): Promise<{ status: string; detail: string; hint?: string }> => {
    const { checks } = JSON.parse((await host.veneer("doctor", "--json")).stdout);
    return checks.find((one: { name: string }) => one.name === name);
  };
  /** The options of the overlay at `path` in a mount table. */
  const overlayAt = (mountinfo: string, path: string) =>
    mountinfo.split("\n").find((line) => line.split(" ")[4] === path && line.includes(" - overlay "));

  it("doctor finds that it can hold uppers", async () => {
    const ok = type === "tmpfs" ? "limited" : "ok";
    const detail = expect.stringContaining(`${type} on ${point}`);
    expect(await check("file system")).toMatchObject({ status: ok, detail });
    expect((await check("upper")).status).toBe("ok");
    expect((await check("extended attributes")).status).toBe("ok");
  });

  it("a container's own upper is volatile and goes with it; an instance's is not and stays", async () => {
    const script = "rm /etc/group; echo mine > /etc/own; cat /proc/self/mountinfo";
    expect(overlayAt(await host.ok("run", "b", "--", "sh", "-c", script), "/")).toMatch(/\bvolatile\b/);
    expect(readdirSync(join(host.root, "ephemeral"))).toEqual([]);
    await host.ok("create", "web1", "b");
    const root = (await host.ok("mount", "web1")).trim();
    expect(overlayAt(readFileSync("/proc/self/mountinfo", "utf8"), root)).not.toMatch(/\bvolatile\b/);
    await must("sh", [
      "-c",
      'rm "$1/etc/group"; echo mine > "$1/etc/own"; mv "$1/etc" "$1/etc2"',
      "sh",
      root,
    ]);
    await host.ok("umount", "web1");
    await host.ok("mount", "web1");
    expect(readdirSync(join(root, "etc2")).sort()).toEqual(["os-release", "own", "passwd", "resolv.conf"]);
    await host.ok("umount", "web1");
    await host.ok("rm", "web1");
  });

  it("a container with a user namespace has the base's owners, or is refused in one line", async () => {
    const script = "stat -c %u:%g /etc/passwd; echo mine > /etc/own; stat -c %u /etc/own";
    const outcome = await host.veneer("run", "b", ...MAP, "--", "sh", "-c", script);
    if (type !== "tmpfs" || (await check("idmapped tmpfs")).status === "ok") {
      expect(outcome).toMatchObject({ status: 0, stderr: "", stdout: "0:0\n0" });
      expect((await check("idmapped layers")).status).toBe("ok");
      return;
    }
    expect(outcome).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^veneer: [^\n]*cannot be idmapped[^\n]*tmpfs from 6\.3 on[^\n]*$/),
    });
    expect((await check("idmapped layers")).status).toBe("limited");
  });

  it(`${shares ? "shares" : "copies"} the blocks of what is imported and cloned`, async () => {
    expect((await check("reflink")).status).toBe(shares ? "ok" : "limited");
    await host.ok("create", "web2", "b");
    const root = (await host.ok("mount", "web2")).trim();
    await must("sh", ["-c", 'cp "$1/var/big" "$1/var/own"', "sh", root]);
    await host.ok("umount", "web2");
    await must("sync", ["-f", point]);
    await host.ok("clone", "web2", "web3");
    await must("sync", ["-f", point]);
    const found = (await must("find", [host.root, "-size", `${BIG}c`])).split("\n").sort();
    // the layer's, and one in each upper
    expect(found).toHaveLength(3);
    // what a tmpfs shares, FIEMAP does not say
    if (type !== "tmpfs") {
      for (const file of found) {
        const extents = await must("filefrag", ["-v", file]);
        expect([file, /\bshared\b/.test(extents)]).toEqual([file, shares]);
      }
    }
    for (const id of ["web2", "web3"]) await host.ok("rm", id);
  });

  it("new versions, their check and gc work", async () => {
    await host.ok("base", "edit", "b", "--", "sh", "-c", "rm -r /home; mkdir /home; echo 2 > /home/version");
    await host.ok("base", "verify", "b");
    expect(await host.ok("run", "b", "--", "cat", "/home/version")).toBe("2");
    await host.ok("gc");
    expect(await host.ok("run", "b@1", "--", "ls", "/home")).toBe("");
  });
});

/** Mounts a new file system at `point`; returns what this machine lacks for it. */
async function mountNew(type: string, size: string, dir: string, point: string): Promise<string | undefined> {
  if (type === "tmpfs") {
    await must("mount", ["-t", "tmpfs", "-o", `size=${size},mode=755`, "tmpfs", point]);
    return undefined;
  }
  const image = join(dir, "image");
  await must("truncate", ["-s", size, image]);
  const made = await sh(`mkfs.${type}`, ["-q", image]).catch(() => undefined);
  if (!made) return `mkfs.${type} is not installed`;
  if (made.status !== 0) throw new Error(`mkfs.${type}: ${made.stderr}`);
  const mounted = await sh("mount", ["-t", type, "-o", "loop", image, point]);
  if (mounted.status === 0) return undefined;
  if (/unknown filesystem type/.test(mounted.stderr)) return `the kernel has no ${type}`;
  throw new Error(mounted.stderr);
}
