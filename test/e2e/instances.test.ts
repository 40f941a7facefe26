import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Config, hookAt, makeBundle, nextId, runtime } from "../helpers/bundle.ts";
import { must, sh } from "../helpers/host.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";

// The same named instance under runc with the hook, under veneer-runc, and mounted by hand.
const host = useHost();

beforeAll(() => plantBase(host, "b", makeTree(join(host.dir, "base"))));
afterEach(async () => {
  for (const { id } of JSON.parse(await host.ok("ls", "--json"))) await host.ok("rm", id);
  await expect.poll(() => readdirSync(join(host.run, "records"))).toEqual([]);
});

const WAYS = ["hook", "wrapper"] as const;
let count = 0;

/** A bundle that starts `instance`, and the arguments of runtime() that run it. */
function container(
  way: (typeof WAYS)[number],
  instance: string,
  command: string,
  persistent = false,
  mounts: Config["mounts"] = [],
) {
  const id = nextId();
  const bundle = makeBundle(join(host.dir, `bundle${++count}`), command, (config) => {
    config.mounts.push(...mounts);
    if (way === "hook") {
      hookAt(
        config,
        host,
        "createRuntime",
        "--base",
        "b",
        "--instance",
        instance,
        ...(persistent ? ["--persistent"] : []),
      );
    } else {
      config.annotations = {
        "run.veneer.base": "b",
        "run.veneer.instance": instance,
        ...(persistent && { "run.veneer.upper": "persistent" }),
      };
    }
  });
  const name = way === "hook" ? "runc" : "veneer-runc";
  return {
    id,
    run: () => runtime(host, name, ["run", "--bundle", bundle, id]),
    detached: async () => {
      // with pipes for stdio runc create would leave them to the container
      const command_ = `exec ${name} --root "$1" create --bundle "$2" "$3" </dev/null >"$4" 2>&1`;
      const log = join(host.dir, "log");
      const args = ["-c", command_, "sh", join(host.dir, "state"), bundle, id, log];
      const outcome = await sh("sh", args, { env: { PATH: host.path } });
      return outcome.status === 0 ? outcome : { ...outcome, stderr: await must("cat", [log]) };
    },
    remove: () => runtime(host, name, ["delete", "--force", id]),
  };
}
const run = (...args: Parameters<typeof container>) => container(...args).run();

describe.each(WAYS)("through the %s", (way) => {
  it("keeps its files for the other way and for a mount by hand", async () => {
    expect(await run(way, "web1", "echo mine > /etc/own; rm /etc/group", true)).toMatchObject({ status: 0 });
    const other = way === "hook" ? "wrapper" : "hook";
    expect(await run(other, "web1", "cat /etc/own; ls /etc/group 2>&1; echo more >> /etc/own")).toMatchObject(
      {
        stdout: expect.stringMatching(/^mine\nls: .*No such file/),
      },
    );
    const root = await host.ok("mount", "web1");
    expect(await must("cat", [join(root, "etc/own")])).toBe("mine\nmore");
    await host.ok("umount", "web1");
    expect(await host.ok("diff", "web1")).toBe("C /etc\nD /etc/group\nA /etc/own");
  });

  it("starts an instance again and again, at once after it ended", async () => {
    await host.ok("create", "web1", "b");
    for (let time = 1; time <= 8; time++) {
      const outcome = await run(way, "web1", "echo x >> /count; wc -l < /count");
      expect(outcome).toMatchObject({ status: 0, stdout: String(time), stderr: "" });
    }
  });

  it("refuses a second container, a mount and every change, and names the holder", async () => {
    await host.ok("create", "web1", "b");
    const first = container(way, "web1", "sleep 1000");
    expect(await first.detached()).toMatchObject({ status: 0 });
    try {
      const holder = `instance web1 is held by container ${first.id} (${way === "hook" ? "oci" : "runtime"})`;
      for (const second of WAYS) {
        const { status, stderr } = await run(second, "web1", "true");
        expect(status).not.toBe(0);
        expect(stderr).toContain(holder);
      }
      for (const words of [
        ["mount", "web1"],
        ["rm", "web1"],
        ["clone", "web1", "web2"],
        ["commit", "web1", "apps"],
        ["cutover", "web1", "b"],
        ["umount", "web1"],
      ]) {
        const { status, stderr } = await host.veneer(...words);
        expect([status, stderr]).toEqual([1, expect.stringContaining(holder)]);
      }
      const state = JSON.parse((await runtime(host, "runc", ["state", first.id])).stdout);
      const [row] = JSON.parse(await host.ok("ps", "--json"));
      expect(row).toMatchObject({
        container: first.id,
        instance: "web1",
        base: "b",
        version: 1,
        pid: state.pid,
      });
      expect(JSON.parse(await host.ok("inspect", "web1", "--json"))).toMatchObject({
        state: "running",
        holder: { container: first.id, pid: state.pid },
      });
      expect(JSON.parse(await host.ok("inspect", first.id, "--json"))).toMatchObject({ instance: "web1" });
      expect(await host.ok("diff", "web1")).not.toContain("D ");
    } finally {
      await first.remove();
    }
    expect(await host.ok("ps", "--json")).toBe("[]");
  });

  it("lets one of several win that start at once, and makes the instance once", async () => {
    const barrier = mkdtempSync(join(host.dir, "barrier"));
    const script = "while [ ! -e /barrier/end ]; do sleep 0.05; done; echo ran";
    const mount = { destination: "/barrier", type: "bind", source: barrier, options: ["bind"] };
    let ended = 0;
    const starts = [1, 2, 3].map(async () => {
      const outcome = await run(way, "web1", script, true, [mount]);
      ended++;
      return outcome;
    });
    try {
      // the one that runs holds the instance until the others have been refused
      await expect.poll(() => ended, { timeout: 60_000 }).toBe(2);
    } finally {
      writeFileSync(join(barrier, "end"), "");
    }
    const outcomes = await Promise.all(starts);
    expect(outcomes.filter(({ status }) => status === 0).map(({ stdout }) => stdout)).toEqual(["ran"]);
    for (const { stderr } of outcomes.filter(({ status }) => status !== 0)) {
      expect(stderr).toMatch(/instance web1 is (held by container|being changed or started by)/);
    }
  });

  it("never leaves the root of an upper that is full of links to the host", async () => {
    await host.ok("create", "web1", "b", "--opaque", "none");
    const victim = join(host.dir, `victim of the ${way}`);
    mkdirSync(victim);
    const upper = join(host.root, "instances/web1/1/upper");
    for (const name of ["tmp", "etc", "sys"]) {
      rmSync(join(upper, name), { recursive: true, force: true });
      symlinkSync(victim, join(upper, name));
    }
    const { stderr, status } = await run(way, "web1", "echo x > /etc/own; ls /");
    expect(readdirSync(victim)).toEqual([]);
    expect(status).not.toBe(0);
    expect(stderr).not.toBe("");
    expect(await host.ok("ps", "--json")).toBe("[]");
  });
});

it("ephemeral containers of one name are refused at once, and any number without one run", async () => {
  const first = container("wrapper", "shown", "sleep 1000");
  expect(await first.detached()).toMatchObject({ status: 0 });
  try {
    expect((await run("wrapper", "shown", "true")).stderr).toContain(`held by container ${first.id}`);
    expect(await host.ok("ls", "--json")).toBe("[]");
  } finally {
    await first.remove();
  }
});
