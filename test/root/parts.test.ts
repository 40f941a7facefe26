import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { makeHost } from "../helpers/host.ts";
import { addPart, generationDirectory } from "../helpers/parts.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();

beforeAll(() => {
  for (const version of [1, 2]) {
    const tree = join(host.dir, `tree ${version}`);
    makeTree(tree);
    writeFileSync(join(tree, "etc/version"), `${version}\n`);
    plantBase(host, "debian", tree, version);
  }
});
afterEach(async () => {
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) {
    await host.veneer("umount", id);
    await host.ok("rm", id);
  }
  expect(readdirSync(join(host.root, "staging"))).toEqual([]);
});
afterAll(() => host.remove());

/** Runs `action` on the mounted instance's root; what is mounted by other means than the program is left so. */
async function within<T>(id: string, action: (root: string) => T): Promise<T> {
  const root = await host.ok("mount", id);
  try {
    return action(root);
  } finally {
    await host.ok("umount", id);
  }
}

describe("an upper of several parts", () => {
  it("shows all of them, and what is written goes to the highest", async () => {
    await host.ok("create", "web1", "debian@1");
    await within("web1", (root) => {
      mkdirSync(join(root, "srv/own"), { recursive: true });
      writeFileSync(join(root, "srv/own/first"), "1");
      writeFileSync(join(root, "srv/own/second"), "1");
      rmSync(join(root, "etc/version"));
    });
    await addPart(host, "web1");
    const root = await host.ok("mount", "web1");
    writeFileSync(join(root, "srv/own/second"), "2");
    expect(readFileSync(join(root, "srv/own/first"), "utf8")).toBe("1");
    expect(existsSync(join(root, "etc/version"))).toBe(false);
    const directory = generationDirectory(host, "web1");
    expect(readFileSync(join(directory, "upper/srv/own/second"), "utf8")).toBe("1");
    expect(readFileSync(join(directory, "parts/1/upper/srv/own/second"), "utf8")).toBe("2");
    const { status, stderr } = await host.veneer("rm", "web1");
    expect([status, stderr]).toEqual([1, expect.stringContaining("web1 is mounted on")]);
  });
});
