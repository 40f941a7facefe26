/** Containers that were rebased while they ran: what their uppers' parts hold, and that they become one. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Config, nextId } from "../helpers/bundle.ts";
import { makeHost, must, plainCrun, sh } from "../helpers/host.ts";
import { begin, plantVersions, WAYS } from "../helpers/live.ts";
import { addPart, definition, partsOf } from "../helpers/parts.ts";

import { killAt, type Moment, momentsOf, recordTo } from "../helpers/strace.ts";
import { mapIds, openTo, range } from "../helpers/userns.ts";

const host = makeHost();
const crun = plainCrun(host);

beforeAll(async () => {
  plantVersions(host);
  openTo(host);
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});

const ONE = { parts: undefined, folded: undefined, left: [] };
const lines = (text: string) => text.split("\n").filter((line) => !line.startsWith("C "));

describe.each(WAYS)("%s", (way) => {
  it("has its parts merged when it ends, and can start again at once", async () => {
    const instance = `web-${nextId()}`;
    await host.ok("create", instance, "b@1");
    const container = await begin(host, way, "sleep 600", instance);
    await container.exec("mkdir -p /srv/a /srv/b; echo 1 > /srv/a/x; echo 1 > /srv/b/x; echo 1 > /srv/one");
    await host.ok("rebase", instance, "b@2");
    await container.exec("rm -r /srv/a; rm /etc/group; echo 2 > /srv/b/y; chmod 700 /srv/b; mkdir /srv/a");
    await host.ok("rebase", instance, "b@1");
    await container.exec("echo 3 > /srv/a/z; mv /srv/one /srv/two; rm /srv/b/x");
    expect(definition(host, instance)).toMatchObject({ parts: 2, version: 1 });
    const changes = [
      "D /etc/group",
      "A /srv",
      "A /srv/a",
      "A /srv/a/z",
      "A /srv/b",
      "A /srv/b/y",
      "A /srv/two",
    ];
    const running = lines(await host.ok("diff", instance));
    expect(running).toEqual(expect.arrayContaining(changes));
    expect(running.join("\n")).not.toMatch(/\/srv\/(a\/x|b\/x|one)/);
    const inspected = JSON.parse(await host.ok("inspect", instance, "--json"));
    expect(inspected.upper).toMatch(/\/parts\/2\/upper$/);
    expect(inspected.parts).toHaveLength(2);
    await host.ok("df");
    const dry = await host.ok("rebase", "--dry-run", instance, "b@2");

    await container.stop();
    await expect.poll(() => partsOf(host, instance)).toEqual(ONE);
    expect(lines(await host.ok("diff", instance))).toEqual(running);
    expect(await host.ok("rebase", "--dry-run", instance, "b@2")).toBe(dry);

    const again = await begin(host, way, "sleep 600", instance);
    expect(
      await again.exec(
        "cd /srv; find . | sort; cat a/z b/y two; stat -c %a b; test -e /etc/group || echo gone",
      ),
    ).toBe(".\n./a\n./a/z\n./b\n./b/y\n./two\n3\n2\n1\n700\ngone");
    await host.ok("rebase", instance, "b@2");
    await again.stop();
    // the merge in the background gives way
    const third = await begin(host, way, "sleep 600", instance, (config) => {
      config.annotations["run.veneer.base"] &&= "b";
      for (const { args } of Object.values(config.hooks).flat()) args?.splice(args.indexOf("b@1"), 1, "b");
    });
    expect(await third.exec("cat /srv/two")).toBe("1");
    await third.stop();
    await expect.poll(() => partsOf(host, instance)).toEqual(ONE);
    await host.ok("rm", instance);
  });
});

describe.each(WAYS)("%s with a user namespace", (way) => {
  it("starts with parts, whose owners are as they were", async () => {
    const instance = `web-${nextId()}`;
    await host.ok("create", instance, "b@1");
    const mapped = (config: Config) => mapIds(config, range(100000));
    const root = await host.ok("mount", instance);
    const script = "mkdir srv; echo 1 > srv/x; chown 33:34 srv/x; touch srv/y; rm etc/group";
    await must("sh", ["-c", script], { cwd: root });
    await host.ok("umount", instance);
    await addPart(host, instance);
    const container = await begin(host, way, "sleep 600", instance, mapped, 100000);
    const show = "cd /srv; stat -c '%n %u:%g' * /etc; test -e /etc/group || echo gone";
    expect(await container.exec(`chown 5:6 /srv/y; echo 2 >> /srv/x; ${show}`)).toBe(
      "x 33:34\ny 5:6\n/etc 0:0\ngone",
    );
    await container.stop();
    await expect.poll(() => partsOf(host, instance)).toEqual(ONE);
    const again = await begin(host, way, "sleep 600", instance, mapped, 100000);
    expect(await again.exec(`${show}; cat x`)).toBe("x 33:34\ny 5:6\n/etc 0:0\ngone\n1\n2");
    await again.stop();
    await host.ok("rm", instance);
  });
});

describe("a container that is rebased again and again", () => {
  it("keeps a bounded number of parts, and loses nothing", async () => {
    const instance = `web-${nextId()}`;
    await host.ok("create", instance, "b@1");
    const log = "n=0; while :; do n=$((n+1)); echo $n >> /log; echo $n > /srv/$((n % 7)); sleep 0.01; done";
    const container = await begin(host, "runc wrapped", `mkdir -p /srv; ${log}`, instance);
    await container.exec("mkdir /etc/own; for f in a b c d; do echo $f > /etc/own/$f; done");
    for (let count = 1; count <= 36; count++) {
      await host.ok("rebase", instance, `b@${1 + (count % 2)}`);
      if (count === 10) await container.exec("rm /etc/own/a; echo more >> /etc/own/b");
      if (count === 20) await container.exec("mv /etc/own/c /etc/own/e; rm /etc/group");
      const { parts, folded = 0 } = definition(host, instance);
      expect(parts).toBe(count);
      expect(parts - folded).toBeLessThanOrEqual(15);
    }
    const shown = await container.exec(
      "cd /etc/own; for f in *; do echo $f: $(cat $f); done; test -e /etc/group || echo gone",
    );
    expect(shown).toBe("b: b more\nd: d\ne: c\ngone");
    await container.stop();
    await expect.poll(() => partsOf(host, instance)).toEqual(ONE);
    await expect.poll(() => readdirSync(join(host.root, "trash"))).toEqual([]);
    const again = await begin(host, "runc wrapped", "sleep 600", instance);
    expect(
      await again.exec(
        "cd /etc/own; for f in *; do echo $f: $(cat $f); done; test -e /etc/group || echo gone",
      ),
    ).toBe(shown);
    const written = (await again.exec("cat /log")).split("\n").map(Number);
    expect(written).toEqual(written.map((_, index) => index + 1));
    expect(await again.exec("find /log /etc/own -type f -links +1")).toBe("");
    await again.stop();
    await host.ok("gc");
    expect(readdirSync(join(host.root, "trash"))).toEqual([]);
    await host.ok("rm", instance);
  });

  it("goes on when the merge of its lower parts is killed at any moment", async () => {
    const instance = `web-${nextId()}`;
    await host.ok("create", instance, "b@1");
    const container = await begin(host, "runc wrapped", "sleep 600", instance);
    for (const count of [1, 2, 3]) {
      await container.exec(
        `mkdir -p /srv/d${count}; for f in 1 2 3; do echo ${count} > /srv/d${count}/$f; done`,
      );
      if (count > 1) await container.exec(`rm -r /srv/d${count - 1}/1; echo ${count} >> /srv/d1/2`);
      await host.ok("rebase", instance, `b@${1 + (count % 2)}`);
    }
    const show = "cd /srv; find . | sort; find . -type f | sort | xargs cat";
    const shown = await container.exec(show);
    const record = join(host.dir, "moments");
    const program = [join(host.bin, "veneer"), "internal", "merge", instance, "--lower"];
    await must("strace", [...recordTo(record), ...program]);
    const moments = momentsOf(record).filter(({ call }) => call !== "write");
    const step = Math.max(1, Math.floor(moments.length / 8));
    await host.ok("rebase", instance, "b@1");
    for (let at = 0; at < moments.length; at += step) {
      await sh("strace", [...killAt(moments[at] as Moment), ...program]);
      expect(await container.exec(show), JSON.stringify(moments[at])).toBe(shown);
    }
    await host.ok("gc");
    expect(await container.exec(show)).toBe(shown);
    for (const version of [2, 1]) await host.ok("rebase", instance, `b@${version}`);
    expect(await container.exec(show)).toBe(shown);
    await container.stop();
    await expect.poll(() => partsOf(host, instance)).toEqual(ONE);
    const again = await begin(host, "runc wrapped", "sleep 600", instance);
    expect(await again.exec(show)).toBe(shown);
    await again.stop();
    await host.ok("rm", instance);
  });
});
