/** What the real runtime gets from the wrapping one: an observer stands in its place. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeBundle, nextId } from "../helpers/bundle.ts";
import { PROJECT, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { useHost } from "../helpers/use-host.ts";
import { plantObserver, storeArguments } from "../helpers/wrapper.ts";

const host = useHost();
const observer = plantObserver(host, "runc");
const wrapper = join(PROJECT, "dist/veneer-runc");
const path = `${observer}:/usr/bin:/bin`;
let plain: string;
let based: string;

beforeAll(() => {
  makeBase(host, "b");
  plain = makeBundle(join(host.dir, "plain"), "true");
});
beforeEach(() => {
  based = makeBundle(join(host.dir, `based${Math.random()}`), "true", (config) => {
    config.annotations["run.veneer.base"] = "b";
  });
});

/** As an engine might start it: signals ignored and blocked, low limits, descriptors up to 99, a variable of its own. */
const SURROUNDINGS = `
trap '' PIPE XFSZ USR2
umask 037
ulimit -S -n 200; ulimit -H -n 300; ulimit -S -c 0; ulimit -S -s 4096
exec 3</etc/passwd 4>/dev/null 10</etc/group 99</etc/hostname
exec env OWN='a b' "$@"`;

const observe = (file: string, args: readonly string[], cwd = "/") =>
  sh("bash", ["-c", SURROUNDINGS, "bash", file, ...args], { cwd, env: { PATH: path } });

it.each([
  ["state", () => ["state", "id"]],
  [
    "exec with odd words",
    () => ["exec", "-t", "id", "a b", 'c"d', "", "*", "$HOME", "run", "--bundle", "/x"],
  ],
  ["create without a base", () => ["--log", "/dev/null", "create", "--bundle", plain, "id"]],
  ["run of a bundle that does not exist", () => ["run", "--bundle", "/does/not/exist", "id"]],
  ["nothing at all", () => []],
])("%s: words, descriptors, limits, signals, environment as they are", async (_what, args) => {
  const direct = await observe(join(observer, "runc"), args());
  expect(direct).toMatchObject({ status: 0, stderr: "" });
  expect(direct.stdout).toContain("fd 99 /etc/hostname");
  expect(await observe(wrapper, args())).toEqual(direct);
});

it.each([
  [
    "create",
    () => ["--root", "/r", "--log", "/dev/null", "create", "--bundle", based, "--pid-file", "/p", "id"],
  ],
  ["run --preserve-fds", () => ["--systemd-cgroup=false", "run", "--preserve-fds", "2", "-b", based, "id"]],
])("%s with a base: the same", async (_what, args) => {
  const direct = await observe(join(observer, "runc"), args());
  const outcome = await observe(wrapper, [...storeArguments(host), ...args()]);
  expect(outcome).toEqual(direct);
});

describe("restore", () => {
  const restore = (annotations: Record<string, string>, ...words: string[]) => {
    const bundle = makeBundle(join(host.dir, `restore${Math.random()}`), "true", (config) => {
      config.annotations = annotations;
    });
    const all = ["restore", "--image-path", "/i", "--work-path", "/w", "--bundle", bundle, ...words, "id"];
    return { bundle, all, run: () => observe(wrapper, [...storeArguments(host), ...all]) };
  };

  it("without a base: the same", async () => {
    const { all, run } = restore({});
    expect(await run()).toEqual(await observe(join(observer, "runc"), all));
  });

  it("of a container with a persistent upper: the same, on that upper", async () => {
    await host.ok("create", "kept", "b");
    const { bundle, all, run } = restore(
      { "run.veneer.instance": "kept" },
      "--detach",
      "--empty-ns",
      "network",
      "--pid-file",
      "/p",
    );
    expect(await run()).toEqual(await observe(join(observer, "runc"), all));
    const shows = join(host.dir, "shows-root");
    mkdirSync(shows);
    writeFileSync(join(shows, "runc"), `#!/bin/sh\nfindmnt -no SOURCE ${bundle}/rootfs\n`, { mode: 0o755 });
    const seen = await sh(wrapper, [...storeArguments(host), ...all], { env: { PATH: `${shows}:/usr/bin` } });
    expect(seen).toEqual({ status: 0, stdout: "veneer:kept", stderr: "" });
  });

  it.each([
    [
      "an ephemeral upper",
      { "run.veneer.base": "b" },
      /restore id: its upper was ephemeral.*; hint: .*persistent/,
    ],
    [
      "a named one that was ephemeral",
      { "run.veneer.base": "b", "run.veneer.instance": "none" },
      /restore id: its upper was ephemeral/,
    ],
    [
      "an upper that is not there",
      { "run.veneer.base": "b", "run.veneer.upper": "persistent" },
      /restore id: no instance id in .*; hint: .*run\.veneer\.instance/,
    ],
  ])("of a container with %s is refused, and nothing is made", async (_what, annotations, message) => {
    const before = leftovers(host);
    const outcome = await restore(annotations).run();
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toContain("\n");
    expect(leftovers(host)).toEqual(before);
  });

  it("of a container whose instance is in memory is refused", async () => {
    await host.ok("create", "memory", "b", "--tmpfs", "1M");
    const outcome = await restore({ "run.veneer.instance": "memory" }).run();
    expect(outcome.stderr).toMatch(/restore id: instance memory had its files in memory.*; hint: /);
  });
});

it("starts in the caller's working directory", async () => {
  const direct = await observe(join(observer, "runc"), ["create", "id"], based);
  expect(direct.stdout).toContain(`cwd ${based}`);
  expect(await observe(wrapper, [...storeArguments(host), "create", "id"], based)).toEqual(direct);
});

it("shows the real runtime a config.json with one hook more, with an environment of its own, and the bundle's file stays", async () => {
  const dir = join(host.dir, "shows");
  mkdirSync(dir);
  writeFileSync(join(dir, "runc"), `#!/bin/bash\ncat ${based}/config.json\n`, { mode: 0o755 });
  const file = join(based, "config.json");
  // what JavaScript's numbers cannot hold, and white space
  const text = readFileSync(file, "utf8").replace(
    '"linux": {',
    '"linux":\t{"resources":{"x": 18446744073709551615},',
  );
  writeFileSync(file, text);
  const outcome = await sh(wrapper, [...storeArguments(host), "create", "-b", based, "id"], {
    env: { PATH: `${dir}:/usr/bin:/bin` },
  });
  expect(outcome).toMatchObject({ status: 0, stderr: "" });
  const shown = JSON.parse(outcome.stdout);
  expect(shown.hooks.poststop).toHaveLength(1);
  expect(shown.hooks.poststop[0].env).toEqual(["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
  const hook = JSON.stringify(shown.hooks.poststop[0]);
  expect(outcome.stdout.replace(`"poststop":[${hook}]`, "")).toBe(text);
  expect(readFileSync(file, "utf8")).toBe(text);
});

/** A directory with what the script needs, and no runtime. */
function tools(): string {
  const dir = join(host.dir, "tools");
  mkdirSync(dir, { recursive: true });
  for (const name of ["sh", "bash", "env", "sort", "sed", "grep", "cat", "readlink"]) {
    if (!existsSync(join(dir, name))) symlinkSync(`/usr/bin/${name}`, join(dir, name));
  }
  return dir;
}

it("never takes itself for the real runtime: links and copies named runc come first on PATH", async () => {
  const links = join(host.dir, "links");
  const copies = join(host.dir, "copies");
  const more = join(host.dir, "more");
  for (const dir of [links, copies, more]) mkdirSync(dir);
  symlinkSync(wrapper, join(links, "runc"));
  copyFileSync(wrapper, join(copies, "runc"));
  symlinkSync(join(copies, "runc"), join(more, "runc"));
  for (const self of [join(links, "runc"), join(copies, "runc"), "runc"]) {
    const outcome = await sh("env", [`PATH=${links}:${more}:${copies}:${path}`, self, "state", "id"]);
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^arg state\narg id\n/);
  }
  // also where one before it would be a copy that finds this one again
  for (const order of [`${links}:${more}:${copies}`, `${copies}:${links}`, links]) {
    const alone = await sh("env", [`PATH=${order}:${tools()}`, join(links, "runc"), "state", "id"]);
    expect(alone).toMatchObject({ status: 1, stdout: "" });
    expect(alone.stderr).toMatch(/^veneer: no runc on PATH behind this program; hint: install runc[^\n]*$/);
  }
});

describe("a copy under a name that stands for no runtime", () => {
  const copy = join(host.dir, "myruntime");
  const call = (where: string, ...words: string[]) => sh(copy, words, { env: { PATH: where } });
  beforeAll(() => copyFileSync(wrapper, copy));

  it("becomes the default runtime", async () => {
    const outcome = await call(path, "state", "id");
    expect(outcome).toMatchObject({ status: 0, stderr: "" });
    expect(outcome.stdout).toMatch(/^arg state\narg id\n/);
  });

  it("becomes the one of that name, where there is one", async () => {
    const dir = join(host.dir, "others");
    mkdirSync(dir);
    writeFileSync(join(dir, "myruntime"), '#!/bin/sh\necho mine "$@"\n', { mode: 0o755 });
    expect(await call(`${path}:${dir}`, "state", "id")).toMatchObject({ stdout: "mine state id" });
  });

  it("prepares a container on a base, whose end it cleans up after", async () => {
    const config = join(host.dir, "copy.json");
    writeFileSync(config, JSON.stringify({ root: host.root, run: host.run }));
    const bundle = makeBundle(join(host.dir, "copied"), "cat /etc/os-release", (own) => {
      own.annotations["run.veneer.base"] = "b";
    });
    const words = ["--veneer-store", "", "", config, "--root", join(host.dir, "state"), "run", "-b", bundle];
    const outcome = await sh(copy, [...words, nextId()], { env: { PATH: "/usr/sbin:/usr/bin:/bin" } });
    expect(outcome).toEqual({ status: 0, stdout: "ID=veneer-test", stderr: "" });
    await expect.poll(() => leftovers(host).filter((name) => name.includes("veneer-test-"))).toEqual([]);
  });

  it("says what to do where there is no runtime at all", async () => {
    const outcome = await call(tools(), "state", "id");
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/^veneer: no runc and no crun on PATH behind this program; hint: [^\n]*$/);
  });
});

it("says so when the real runtime is missing, and makes nothing", async () => {
  const outcome = await sh(wrapper, [...storeArguments(host), "create", "-b", based, "id"], {
    env: { PATH: tools() },
  });
  expect(outcome).toMatchObject({ status: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/no runc on PATH.*hint: /);
});

it.each([
  ["is there", "{}"],
  ["is gone", ""],
])("the poststop hook reads what a slow runtime writes, when the record %s", async (_what, text) => {
  const dir = join(host.dir, `release${Math.random()}`);
  mkdirSync(join(dir, "records"), { recursive: true });
  const key = `c~${"0".repeat(16)}`;
  writeFileSync(join(dir, "records", `${key}.json`), text);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: for the shell
  const script = '(sleep 0.3; printf state) | "$@"; echo "${PIPESTATUS[*]}"';
  const words = ["--root", dir, "--run", dir, key, "", ""];
  const release = join(PROJECT, "dist/veneer-release");
  const outcome = await sh("bash", ["-c", script, "bash", release, ...words]);
  expect(outcome).toEqual({ status: 0, stdout: "0 0", stderr: "" });
});

it("takes the real runtime from the configuration file", async () => {
  const config = join(host.dir, "config.json");
  writeFileSync(config, JSON.stringify({ runtimes: { runc: join(observer, "runc") } }));
  const outcome = await sh(wrapper, [...storeArguments(host, config), "state", "id"], {
    env: { PATH: tools() },
  });
  expect(outcome.stdout).toMatch(/^arg state\narg id\n/);
});

it("says what is wrong with the configuration file", async () => {
  const config = join(host.dir, "bad.json");
  writeFileSync(config, '{"runtimes": {"runc": "not-absolute"}}');
  const outcome = await sh(wrapper, [...storeArguments(host, config), "state", "id"], {
    env: { PATH: path },
  });
  expect(outcome).toMatchObject({ status: 1, stdout: "" });
  expect(outcome.stderr).toMatch(/^veneer: \S*bad\.json at '\/runtimes\/runc' .*$/);
});

it("lets nothing in the caller's environment run in the program", async () => {
  const preload = join(host.dir, "preload.js");
  const proof = join(host.dir, "proof");
  writeFileSync(preload, `require("fs").writeFileSync(${JSON.stringify(proof)}, "ran")`);
  const outcome = await sh(wrapper, [...storeArguments(host), "create", "-b", based, "id"], {
    env: {
      PATH: path,
      BUN_OPTIONS: `--preload=${preload}`,
      BUN_BE_BUN: "1",
      BUN_INSPECT: "1",
      NODE_OPTIONS: `--require=${preload}`,
    },
  });
  expect(outcome).toMatchObject({ status: 0, stderr: "" });
  // the real runtime gets the environment as it was
  expect(outcome.stdout).toContain("BUN_BE_BUN=1\n");
  expect((await sh("test", ["-e", proof])).status).toBe(1);
});
