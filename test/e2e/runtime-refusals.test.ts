/** Containers on a base that the wrapping runtime refuses in its own words, and what failed starts leave. */
import { mkdirSync, readFileSync, rmdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeBase, plantBase } from "../helpers/base.ts";
import { type Config, detach, makeBundle, nextId, RUNTIMES } from "../helpers/bundle.ts";
import { makeHost, PROJECT, plainCrun } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { makeTree } from "../helpers/tree.ts";
import { storeArguments, wrapped } from "../helpers/wrapper.ts";

const host = makeHost();
const crun = plainCrun(host);

beforeAll(async () => {
  makeBase(host, "b");
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});

let count = 0;
const bundle = (command: string, edit: (config: Config) => void = () => {}) =>
  makeBundle(join(host.dir, `bundle${++count}`), command, (config) => {
    config.annotations["run.veneer.base"] = "b";
    edit(config);
  });

describe.each(RUNTIMES)("veneer-%s refuses", (name) => {
  const run = (path: string, ...words: string[]) =>
    wrapped(host, name, ["run", "-b", path, ...words, nextId()]);
  afterEach(() => expect(leftovers(host)).toEqual([]));

  const refused = async (path: string, message: RegExp) => {
    const outcome = await run(path);
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toContain("\n");
  };

  it("a container without a mount namespace of its own", async () => {
    const path = bundle("cat /etc/os-release", ({ linux }) => {
      linux.namespaces = linux.namespaces.filter(({ type }) => type !== "mount");
    });
    await refused(path, /^veneer: the container has no mount namespace of its own; hint: .*"mount"/);
  });

  it("a container that joins a mount namespace", async () => {
    const path = bundle("cat /etc/os-release", ({ linux }) => {
      for (const one of linux.namespaces) if (one.type === "mount") one.path = "/proc/1/ns/mnt";
    });
    await refused(path, /^veneer: the container joins a mount namespace/);
  });

  it.each([".", "..", "/", "rootfs/.."])("a root.path of %s, which holds the bundle", async (root) => {
    const path = bundle("cat /etc/os-release", (config) => {
      config.root.path = root;
    });
    await refused(path, /^veneer: root\.path .* is the bundle, or holds it; hint: /);
  });

  it("a root.path that runtimes resolve to different directories", async () => {
    const path = bundle("cat /etc/os-release", (config) => {
      config.root.path = "link/../rootfs";
    });
    mkdirSync(join(path, "other/rootfs"), { recursive: true });
    mkdirSync(join(path, "other/inner"));
    symlinkSync("other/inner", join(path, "link"));
    await refused(path, /root\.path leads to different places/);
  });

  it("a base whose /proc is a symbolic link, and names the base", async () => {
    const tree = makeTree(join(host.dir, `linked-${name}`));
    rmdirSync(join(tree, "proc"));
    symlinkSync("/tmp", join(tree, "proc"));
    plantBase(host, "linked", tree);
    const path = bundle("true", (config) => {
      config.annotations["run.veneer.base"] = "linked";
    });
    await refused(path, /\/proc is a symbolic link in base linked@1; hint: .*veneer base edit linked/);
  });

  it("an option that leaves the bundle open, where a base may be meant", async () => {
    const based = bundle("cat /etc/os-release");
    const plain = makeBundle(join(host.dir, `bundle${++count}`), "true", (config) => {
      config.root.path = join(host.dir, "tree-b");
    });
    const words = ["run", `--bundle=${plain}`, "--new", `--bundle=${based}`, nextId()];
    const outcome = await wrapped(host, name, words);
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/^veneer: option '--new' is not known here/);
    // without a base the runtime says it
    const free = await wrapped(
      host,
      name,
      words.map((word) => word.replace(based, plain)),
    );
    expect(free.stderr).not.toContain("veneer:");
    expect(free.status).not.toBe(0);
  });
});

describe.each(RUNTIMES)("veneer-%s", (name) => {
  const run = (path: string, ...words: string[]) =>
    wrapped(host, name, ["run", ...words, "-b", path, nextId()]);

  it("shows a container the config.json of its bundle as it is", async () => {
    const command = "cat /own.json; echo; cat /bundle/config.json; echo";
    const path = bundle(command, ({ mounts }) => {
      const file = join(host.dir, `bundle${count}`, "config.json");
      mounts.push({ destination: "/own.json", type: "bind", source: file, options: ["bind", "ro"] });
      mounts.push({
        destination: "/bundle",
        type: "bind",
        source: join(file, ".."),
        options: ["bind", "ro"],
      });
    });
    const before = readFileSync(join(path, "config.json"), "utf8");
    expect(await run(path)).toEqual({ status: 0, stdout: `${before}\n${before}`, stderr: "" });
    expect(readFileSync(join(path, "config.json"), "utf8")).toBe(before);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  const MISSING = { destination: "/m", type: "bind", source: "/no/such", options: ["bind"] };
  const failing: [string, (config: Config) => unknown, string[]][] = [
    ["a command that is missing", ({ process }) => Object.assign(process, { args: ["/no/such"] }), []],
    ["a mount source that is missing", ({ mounts }) => mounts.push(MISSING), []],
    [
      "a hook that fails",
      ({ hooks }) => Object.assign(hooks, { createRuntime: [{ path: "/bin/false" }] }),
      [],
    ],
    ["an option that the runtime does not know", () => {}, ["--no-such"]],
  ];

  it.each(failing)(
    "takes away at the next start what starts left that failed for %s",
    async (_what, edit, words) => {
      for (let times = 0; times < 3; times++) {
        const outcome = await run(bundle("true", edit), ...words);
        expect(outcome.status).not.toBe(0);
        expect(outcome.stderr).not.toMatch(/^veneer:/);
        // of the last one at most
        expect(leftovers(host).filter((path) => path.includes("/ephemeral/")).length).toBeLessThan(2);
      }
      expect(await run(bundle("cat /etc/os-release"))).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
      await expect.poll(() => leftovers(host)).toEqual([]);
    },
  );

  it("does not take a container that runs for one that failed", async () => {
    const id = nextId();
    const words = [...storeArguments(host), "--root", join(host.dir, "state"), "run", "--detach"];
    const program = join(PROJECT, `dist/veneer-${name}`);
    const started = await detach(host, program, [...words, "-b", bundle("exec sleep 60"), id]);
    expect(started).toMatchObject({ status: 0, stderr: "" });
    for (let times = 0; times < 3; times++) expect(await run(bundle("true"))).toMatchObject({ status: 0 });
    const inside = await wrapped(host, name, ["exec", id, "cat", "/etc/os-release"]);
    expect(inside).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
    await wrapped(host, name, ["delete", "--force", id]);
    await expect.poll(() => leftovers(host)).toEqual([]);
  });
});
