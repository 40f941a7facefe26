/** Rebase of running containers with user namespaces: the new root is idmapped like the old one. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Config, nextId } from "../helpers/bundle.ts";
import { must } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { begin, plantVersions, WAYS } from "../helpers/live.ts";
import { useHost } from "../helpers/use-host.ts";
import { mapIds, openTo, range } from "../helpers/userns.ts";

const host = useHost();

beforeAll(() => {
  plantVersions(host);
  openTo(host);
});
afterEach(() => expect.poll(() => leftovers(host)).toEqual([]));

const edit = (config: Config) => {
  mapIds(config, range(100000));
  const source = join(host.dir, "volume");
  config.mounts.push(
    { destination: "/data", type: "bind", source, options: ["rbind", "rw"] },
    { destination: "/made/here", type: "tmpfs", source: "tmpfs", options: ["mode=755"] },
  );
};

describe.each(WAYS)("%s", (way) => {
  it("goes on with the new version, its own files and their owners", async () => {
    const instance = `web-${nextId()}`;
    await host.ok("create", instance, "b@1");
    const script =
      "touch /a; chown 33:34 /a; rm /etc/group; while :; do cat /etc/version > /seen; sleep 0.05; done";
    const container = await begin(host, way, script, instance, edit, 100000);
    await expect.poll(() => container.exec("cat /seen")).toBe("1");
    const mounts = container.mounts();
    await host.ok("rebase", instance, "b@2");
    expect(container.mounts()).toEqual(mounts);
    await expect.poll(() => container.exec("cat /seen")).toBe("2");
    const show =
      "stat -c %u:%g / /a /etc/only-2 /made; touch /b; chown 5:6 /etc/version; stat -c %u:%g /b /etc/version; ls /etc/group 2>/dev/null || echo gone";
    expect(await container.exec(show)).toBe("0:0\n33:34\n0:0\n0:0\n0:0\n5:6\ngone");
    await container.stop();
    await host.ok("gc");
    expect(existsSync(join(host.run, "moving")) ? readdirSync(join(host.run, "moving")) : []).toEqual([]);
    const upper = join(await host.ok("mount", instance));
    expect(
      await must("stat", ["-c", "%u:%g", join(upper, "a"), join(upper, "etc/version"), join(upper, "b")]),
    ).toBe("33:34\n5:6\n0:0");
    await host.ok("umount", instance);
    await host.ok("rm", instance);
  });
});
