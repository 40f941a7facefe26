import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeHost, must } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
// a comma, which mountinfo escapes among an overlay's options
const store = join(host.dir, "a store, with a comma");
const upper = (id: string) => join(store, "instances", id, "1/upper");
let probes = 0;

/** Runs a verb on the store; sets `probes` to how often it asked the kernel for an overlay. */
async function run(...words: string[]): Promise<string> {
  const trace = join(host.dir, "trace");
  const tracing = ["-f", "-qq", "-e", "trace=fsconfig", "-o", trace];
  const stdout = await must("strace", [...tracing, join(host.bin, "veneer"), "--root", store, ...words]);
  probes = readFileSync(trace, "utf8").split("FSCONFIG_CMD_CREATE").length - 1;
  return stdout;
}

beforeAll(async () => {
  await run("base", "import", "small", makeTree(join(host.dir, "tree")));
  for (const id of ["web1", "web2", "web3"]) await run("create", id, "small");
});
afterAll(() => host.remove());

/** Each instance is the root of a process in a mount namespace of its own while `action` runs. */
async function elsewhere(ids: readonly string[], action: () => Promise<void>): Promise<void> {
  const script = `
    point=$("$0" --root "$1" mount "$2") && mount --rbind "$point" /mnt && cd /mnt &&
    pivot_root . home && umount -l /home && echo there && exec cat`;
  const children = ids.map((id) =>
    spawn(
      "unshare",
      ["-m", "--propagation", "private", "sh", "-c", script, join(host.bin, "veneer"), store, id],
      { stdio: ["pipe", "pipe", "inherit"] },
    ),
  );
  const ended = children.map((child) => once(child, "close"));
  try {
    for (const child of children) await once(child.stdout, "data");
    await action();
  } finally {
    for (const child of children) child.stdin.end();
    await Promise.all(ended);
  }
}

describe("what is in use", () => {
  it("is read from the roots of processes, without a probe that the kernel logs", async () => {
    await elsewhere(["web1", "web2", "web3"], async () => {
      for (const words of [["ps"], ["ls"], ["base", "log", "small"], ["gc", "--dry-run"], ["df"]]) {
        await run(...words, "--json");
        expect([words, probes]).toEqual([words, 0]);
      }
      expect(JSON.parse(await run("ps", "--json"))).toHaveLength(3);
      expect(JSON.parse(await run("gc", "--json")).freed).toEqual([]);
    });
  });

  it("is asked of the kernel where no process has it as its root", async () => {
    await elsewhere(["web1", "web2", "web3"], async () => {});
    expect(JSON.parse(await run("ps", "--json"))).toEqual([]);
    expect(probes).toBe(3);
    await run("gc");
    await run("ps");
    expect(probes).toBe(0);
  });

  it("is in use also while only a descriptor holds it", async () => {
    const hold = `"$0" --root "$1" mount web1 >/dev/null; exec 3<"$2"; umount -l "$2"; echo there; exec cat`;
    const point = join(host.run, "mnt/web1");
    const words = ["-c", hold, join(host.bin, "veneer"), store, point];
    const child = spawn("unshare", ["-m", "--propagation", "private", "sh", ...words]);
    await new Promise((resolve) => child.stdout.once("data", resolve));
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(upper("web1"));
    expect(JSON.parse(await run("gc", "--json")).freed).toEqual([]);
    expect(probes).toBe(1);
    child.stdin.end();
    await new Promise((resolve) => child.once("close", resolve));
    expect(JSON.parse(await run("gc", "--json")).freed).toMatchObject([{ kind: "record" }]);
  });
});
