/** Rebase of running containers: runc and crun, through the wrapping runtime and through the hook. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Config, nextId } from "../helpers/bundle.ts";
import { makeHost, plainCrun } from "../helpers/host.ts";
import { isLinux } from "../helpers/kernel.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { begin, plantVersions, WAYS } from "../helpers/live.ts";
import { mountTable } from "../helpers/mounts.ts";

const host = makeHost();
const crun = plainCrun(host);
let mountsBefore: string[];

beforeAll(async () => {
  plantVersions(host);
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});
beforeEach(() => {
  mountsBefore = mountTable();
});
afterEach(async () => {
  expect(mountTable()).toEqual(mountsBefore);
  await expect.poll(() => leftovers(host)).toEqual([]);
});

const LOOP = "echo mine > /etc/mine; rm /etc/group; while :; do cat /etc/version > /seen; sleep 0.05; done";

const withVolumes = (config: Config) => {
  const options = (...words: string[]) => ["rbind", ...words];
  const source = join(host.dir, "volume");
  config.mounts.push(
    { destination: "/data", type: "bind", source, options: options("rw") },
    { destination: "/data/inner", type: "bind", source, options: options("ro", "nosuid") },
    { destination: "/etc/hosts", type: "bind", source: "/etc/hosts", options: options("ro") },
    { destination: "/slave", type: "bind", source, options: options("rw", "rslave") },
    { destination: "/run", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "mode=755"] },
    { destination: "/twice", type: "tmpfs", source: "lower", options: ["mode=700"] },
    { destination: "/deep/below", type: "tmpfs", source: "hidden", options: ["mode=755"] },
    { destination: "/deep", type: "tmpfs", source: "above", options: ["mode=755"] },
  );
  // a container with mounts on one another is refused before
  if (isLinux("6.5"))
    config.mounts.push({ destination: "/twice", type: "tmpfs", source: "upper", options: ["mode=755"] });
  config.linux.maskedPaths.push("/etc/passwd");
};

describe.each(WAYS)("%s", (way) => {
  it("goes on, sees the new version and its own changes, and keeps its mounts", async () => {
    const instance = `web-${nextId()}`;
    await host.ok("create", instance, "b@1");
    const container = await begin(host, way, LOOP, instance, withVolumes);
    await expect.poll(() => container.exec("cat /seen")).toBe("1");
    const before = container.mounts();

    const done = await host.veneer("rebase", instance, "b@2");
    expect(done).toMatchObject({ status: 0 });
    expect(done.stderr).toMatch(/was paused for [0-9.]+ ms/);
    // both versions have the same program
    expect(done.stderr).not.toContain("needs a restart");
    expect(done.stderr).toContain(`instance ${instance} is on b@2`);

    expect(container.mounts()).toEqual(before);
    expect(
      await container.exec(
        "cat /etc/version /etc/mine; ls /etc | grep -e only -e group; wc -c < /etc/passwd",
      ),
    ).toBe("2\nmine\nonly-2\n0");
    // the first process goes on, on the new root
    await expect.poll(() => container.exec("cat /seen")).toBe("2");
    expect(JSON.parse(await host.ok("ps", "--json"))).toMatchObject([
      { instance, version: 2, pid: container.pid },
    ]);
    expect(existsSync(join(host.run, "moving")) ? readdirSync(join(host.run, "moving")) : []).toEqual([]);

    // back is another rebase
    await host.ok("rebase", instance, "b@1");
    expect(container.mounts()).toEqual(before);
    expect(await container.exec("cat /etc/version /etc/mine")).toBe("1\nmine");
    await host.ok("rebase", instance, "b@2");
    await container.stop();
    await host.ok("gc");

    const again = await begin(host, way, "sleep 60", instance, (config) => {
      config.annotations["run.veneer.base"] &&= "b";
      for (const { args } of Object.values(config.hooks).flat()) args?.splice(args.indexOf("b@1"), 1, "b");
    });
    expect(await again.exec("cat /etc/version /etc/mine; ls /etc | grep -e only -e group")).toBe(
      "2\nmine\nonly-2",
    );
    await again.stop();
    await host.ok("rm", instance);
  });

  it("keeps a read-only root read-only", async () => {
    const container = await begin(host, way, "sleep 60", undefined, (config) => {
      config.root.readonly = true;
      withVolumes(config);
    });
    const before = container.mounts();
    await host.ok("rebase", container.id, "b@2");
    expect(container.mounts()).toEqual(before);
    expect(
      await container.exec("cat /etc/version; touch /x 2>/dev/null || echo read-only; echo y > /data/y"),
    ).toBe("2\nread-only");
    await container.stop();
  });
});
