/** Bad input to the hook and the wrapping runtime: one clear line, status 1 or 2, nothing changed. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { makeBase, plantBase } from "../helpers/base.ts";
import {
  type Config,
  defaultConfig,
  hookAt,
  makeBundle,
  nextId,
  RUNTIMES,
  runBundle,
} from "../helpers/bundle.ts";
import { type Host, must, type Outcome, PROGRAM, sh, storeOptions } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { mountTable } from "../helpers/mounts.ts";
import { inject, traceHook } from "../helpers/strace.ts";
import { makeTree } from "../helpers/tree.ts";
import { useHost } from "../helpers/use-host.ts";
import { storeArguments, wrapped } from "../helpers/wrapper.ts";

const host = useHost();
let mountsBefore: string[];
beforeAll(() => {
  makeBase(host, "b");
});
beforeEach(() => {
  mountsBefore = mountTable();
});
afterEach(async () => {
  expect(mountTable()).toEqual(mountsBefore);
  await host.ok("gc");
  await expect.poll(() => leftovers(host)).toEqual([]);
});

let count = 0;
const bundle = (edit: (config: Config) => void = () => {}) =>
  makeBundle(join(host.dir, `bundle${++count}`), "cat /etc/os-release", edit);

/** One line on stderr that names what failed, nothing on stdout, status 1 or 2. */
function expectOneLine(outcome: Outcome, pattern: RegExp, status: 1 | 2 = 1): void {
  expect(outcome).toMatchObject({ status, stdout: "" });
  expect(outcome.stderr).toMatch(/^veneer: [^\n]{1,1000}$/);
  expect(outcome.stderr).toMatch(pattern);
}

const hook = (input: string | Uint8Array, ...words: string[]) =>
  sh(PROGRAM, [...storeOptions(host), "hook", "oci", ...words], { input });
const state = (fields: object = {}) =>
  JSON.stringify({
    ociVersion: "1.0.2",
    id: "id",
    status: "creating",
    // alive, and not who starts the hook: that would be init, at createContainer
    pid: process.ppid,
    bundle: host.dir,
    ...fields,
  });

const deep = "[".repeat(100_000);
const MALFORMED: [string, string, RegExp][] = [
  ["empty", "", /is empty/],
  ["white space", " \n\t", /is empty/],
  ["truncated", '{"id":"x","sta', /is not JSON/],
  ["no JSON", "id=x", /is not JSON/],
  ["two documents", "{}{}", /is not JSON/],
  ["deeply nested", deep, /nested too deeply|is not JSON/],
  ["deeply nested and closed", `${deep}${"]".repeat(100_000)}`, /nested too deeply|must be object/],
  ["an array", "[]", /must be object/],
  ["null", "null", /must be object/],
  ["a number", "1", /must be object/],
  ["huge", `{"id":"x","padding":"${"x".repeat(20 * 1024 * 1024)}"}`, /EFBIG.*limit/],
  ["binary", "\0\u0001\u0002", /is not JSON/],
];

describe("hook oci refuses a state that is", () => {
  it.each(MALFORMED)("%s", async (_what, text, pattern) => {
    const outcome = await hook(text, "--base", "b");
    expectOneLine(outcome, pattern);
    expect(outcome.stderr).toMatch(/the container\\?'s state on stdin/);
  });

  it.each([
    ["without an id", "{}", /must have required property 'id'/],
    ["with an id of another type", '{"id":1}', /'\/id' must be string/],
    ["with a pid of another type", '{"id":"x","pid":"1"}', /'\/pid' must be integer/],
    ["with a negative pid", '{"id":"x","pid":-1}', /'\/pid' must be >= 0/],
    ["with annotations of another type", '{"id":"x","annotations":[]}', /annotations' must be/],
    [
      "with a number as annotation",
      '{"id":"x","annotations":{"run.veneer.base":1}}',
      /annotations.* must be string/,
    ],
    ["with a relative bundle", state({ bundle: "x/y" }), /bundle that is not an absolute path/],
    ["without a bundle", state({ bundle: undefined }), /has no bundle or no pid/],
    ["without a pid", state({ pid: undefined }), /has no bundle or no pid/],
    ["of a process that is gone", state({ pid: 4_000_000 }), /process 4000000 .*is gone/],
    [
      "with a bundle that does not exist",
      state({ bundle: "/no/such" }),
      /\/no\/such\/config\.json does not exist/,
    ],
  ])("%s", async (_what, text, pattern) => expectOneLine(await hook(text, "--base", "b"), pattern));

  it.each(["../x", "/", "a/b", ".", "..", "a\nb", "", "x".repeat(4096), "ä", "a b", "a\0b"])(
    "of the container id %j",
    async (id) =>
      expectOneLine(await hook(state({ id }), "--base", "b"), /container id .* is not valid|EINVAL|id/, 2),
  );
});

describe("hook oci refuses the annotation", () => {
  it.each([
    ["run.veneer.base", "../x"],
    ["run.veneer.base", "/etc"],
    ["run.veneer.base", "/"],
    ["run.veneer.base", "b@0"],
    ["run.veneer.base", "b@"],
    ["run.veneer.base", "b@1/../../x"],
    ["run.veneer.base", "a\nb"],
    ["run.veneer.base", ""],
    ["run.veneer.base", "B"],
    ["run.veneer.base", "x".repeat(4096)],
    ["run.veneer.instance", "../../etc"],
    ["run.veneer.instance", "a\u001b[31mb"],
    ["run.veneer.upper", "forever"],
    ["run.veneer.opaque", "/a/../../b"],
    ["run.veneer.opaque", "/"],
    ["run.veneer.mask", "relative"],
    ["run.veneer.tmpfs", "-1"],
    ["run.veneer.tmpfs", "9".repeat(40)],
    ["run.veneer.unknown", "x"],
  ])("%s = %j", async (key, value) => {
    const outcome = await hook(state({ annotations: { "run.veneer.base": "b", [key]: value } }));
    expectOneLine(outcome, new RegExp(`annotation '${key}': `), 2);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may reach a terminal
    expect(outcome.stderr).not.toMatch(/[\u0000-\u001f]/);
  });
});

describe("hook oci refuses the arguments", () => {
  it.each([
    [["--base"], /--base needs a value/],
    [["--base", "../x"], /base name '..\/x' is not valid/],
    [["--nonsense"], /unknown option '--nonsense'/],
    [["--base=b", "--persistent=yes"], /takes no value/],
    [["extra", "words"], /unknown hook/],
    [["--tmpfs", "many"], /size 'many' is not valid/],
  ])("%j", async (words, pattern) => expectOneLine(await hook(state(), ...words), pattern, 2));
});

describe("a config.json that is", () => {
  const cases: [string, string, RegExp][] = [
    ...MALFORMED.filter(([what]) => !["binary"].includes(what)),
    ["without a root", "{}", /must have required property 'root'/],
    ["with a root of another type", '{"root":"x"}', /'\/root' must be object/],
    ["with an empty root path", '{"root":{"path":""}}', /'\/root\/path' must match/],
    ["with a NUL in the root path", '{"root":{"path":"a\\u0000b"}}', /a NUL character/],
    [
      "with masked paths of another type",
      '{"root":{"path":"x"},"linux":{"maskedPaths":"x"}}',
      /maskedPaths' must be/,
    ],
  ];

  it.each(cases)("%s is refused by hook oci", async (_what, text, pattern) => {
    const path = join(host.dir, `bad${++count}`);
    mkdirSync(path);
    writeFileSync(join(path, "config.json"), text);
    const outcome = await hook(state({ bundle: path }), "--base", "b");
    expectOneLine(outcome, pattern);
    expect(outcome.stderr).toContain(`${path}/config.json`);
    rmSync(path, { recursive: true });
  });

  it.each(cases.filter(([, text]) => text.trim().length > 1 && text.length < 1000))(
    "%s is refused by the runtime, when it names a base",
    async (_what, text, pattern) => {
      const path = join(host.dir, `bad${++count}`);
      mkdirSync(path);
      const named = text.startsWith("{")
        ? `{"annotations":{"run.veneer.base":"b"},${text.slice(1)}`
        : `${text}"run.veneer.`;
      writeFileSync(join(path, "config.json"), named.replace(",}", "}"));
      const outcome = await wrapped(host, "runc", ["create", "-b", path, nextId()]);
      expectOneLine(
        outcome,
        /must be object|null|^number/.test(pattern.source) && !text.startsWith("{")
          ? /config\.json/
          : pattern,
      );
    },
  );
});

describe("a base that", () => {
  const run = async (annotations: Record<string, string>) => {
    const path = bundle((config) => {
      config.annotations = annotations;
    });
    return wrapped(host, "runc", ["run", "-b", path, nextId()]);
  };

  it("does not exist is named, with what to do", async () => {
    expectOneLine(await run({ "run.veneer.base": "absent" }), /no base absent in \S+; hint: .*base ls/);
    expectOneLine(await run({ "run.veneer.base": "b@7" }), /no base b@7 in \S+; hint: /);
  });

  it("has lost a layer is named", async () => {
    const tree = makeTree(join(host.dir, "lost"));
    plantBase(host, "lost", tree);
    rmSync(tree, { recursive: true });
    expectOneLine(await run({ "run.veneer.base": "lost" }), /layer of lost@1: ENOENT.*lost/);
  });

  it("has a damaged manifest is named", async () => {
    plantBase(host, "damaged", "/");
    for (const text of [
      "",
      "{",
      '{"layers":[]}',
      '{"layers":[{"path":"relative"}],"digest":"","created":"","origin":""}',
    ]) {
      writeFileSync(join(host.root, "bases/damaged/versions/1.json"), text);
      expectOneLine(await run({ "run.veneer.base": "damaged" }), /damaged\/versions\/1\.json/);
    }
    await must("rm", ["-r", join(host.root, "bases/damaged")]);
  });

  it("an instance is not on is refused", async () => {
    plantBase(host, "other", makeTree(join(host.dir, "other-tree")));
    await host.ok("create", "mine", "b");
    expectOneLine(
      await run({ "run.veneer.base": "other", "run.veneer.instance": "mine" }),
      /instance mine is on b@1, not on other/,
    );
    await host.ok("rm", "mine");
  });
});

describe("no space", () => {
  const small = join(host.dir, "small");
  afterEach(() => sh("umount", ["-l", small]));

  it.each([
    ["tmpfs", ["-t", "tmpfs", "-o", "size=64k,nr_inodes=12", "tmpfs"]],
    ["ext4", ["-o", "loop", join(host.dir, "image")]],
  ])("on %s: says where and what to do", async (what, mount) => {
    mkdirSync(small, { recursive: true });
    if (what === "ext4") {
      await must("truncate", ["-s", "2M", join(host.dir, "image")]);
      await must("mkfs.ext4", ["-q", "-N", "32", join(host.dir, "image")]);
    }
    await must("mount", [...mount, small]);
    const full: Host = { ...host, root: join(small, "store") };
    plantBase(full, "b", join(host.dir, "tree-b"));
    // whatever is left of inodes
    await sh("sh", ["-c", `i=0; while mkdir "$0/$i"; do i=$((i+1)); done`, small]);
    const path = bundle((config) => {
      config.annotations["run.veneer.base"] = "b";
    });
    const outcome = await wrapped(full, "runc", ["run", "-b", path, nextId()]);
    expectOneLine(
      outcome,
      /ENOSPC: No space left on device, .*small\/store\/ephemeral.*; hint: no space on the store's file system: 'veneer gc'/,
    );
    expect(leftovers(full)).toEqual([]);
    await must("umount", ["-l", small]);
  });
});

describe("an old kernel", () => {
  it.each([
    ["fsopen", "ENOSYS"],
    ["fsmount", "ENOSYS"],
    ["move_mount", "ENOSYS"],
    ["openat2", "ENOSYS"],
    ["fsconfig", "EINVAL"],
    ["lsetxattr", "EOPNOTSUPP"],
    ["fsopen", "ENODEV"],
    ["fsopen", "EPERM"],
  ])("without %s (%s): says so, and what to do", async (call, error) => {
    const path = bundle((config) => {
      hookAt(config, host, "createRuntime", "--base", "b");
      const hook = config.hooks.createRuntime?.[0];
      if (!hook) throw new Error("no hook");
      traceHook(hook, host.dir, inject(call, `error=${error}`));
    });
    const outcome = await runBundle(host, "runc", path);
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(new RegExp(`veneer: start .*${error}: .*; hint: `));
  });
});

describe("without root", () => {
  it("the hook and the runtime say so, before anything is changed", async () => {
    // a directory that others may enter
    await must("chmod", ["755", host.dir]);
    const as = (...words: string[]) =>
      sh("setpriv", ["--reuid=1000", "--regid=1000", "--clear-groups", ...words], {
        input: state({ bundle: bundle() }),
      });
    const store = storeOptions(host);
    const outcome = await as(PROGRAM, ...store, "hook", "oci", "--base", "b");
    expectOneLine(outcome, /EACCES: Permission denied|EPERM: Operation not permitted/);
    expect(outcome.stderr).toMatch(/hint: .*root/);
    const path = bundle((config) => {
      config.annotations["run.veneer.base"] = "b";
    });
    const runtime = await as(
      join(host.bin, "veneer-runc"),
      ...storeArguments(host),
      "create",
      "-b",
      path,
      "id",
    );
    expect(runtime.status).toBe(1);
    expect(runtime.stderr).toMatch(/unshare|EACCES|EPERM/);
  });
});

describe.each(RUNTIMES)("the line reaches the user", (name) => {
  it(`of ${name}`, async () => {
    const path = bundle((config) => hookAt(config, host, "createRuntime", "--base", "absent"));
    const outcome = await runBundle(host, name, path);
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toContain(`no base absent in ${host.root}; hint: `);
  });

  it(`of veneer-${name}`, async () => {
    const path = bundle((config) => {
      config.annotations["run.veneer.base"] = "absent";
    });
    const before = readFileSync(join(path, "config.json"));
    expectOneLine(await wrapped(host, name, ["run", "-b", path, nextId()]), /no base absent/);
    expect(readFileSync(join(path, "config.json"))).toEqual(before);
  });
});

describe("a hostile working directory", () => {
  const place = join(host.dir, "hostile");
  const proof = join(host.dir, "proof");
  beforeAll(() => {
    mkdirSync(join(place, "node_modules/evil"), { recursive: true });
    const evil = `require("fs").appendFileSync(${JSON.stringify(proof)}, "ran\\n");`;
    const module = join(place, "evil.js");
    writeFileSync(module, evil);
    writeFileSync(
      join(place, "bunfig.toml"),
      'preload = ["./evil.js"]\n[run]\npreload = ["./evil.js"]\n[test]\npreload = ["./evil.js"]\n',
    );
    writeFileSync(
      join(place, ".env"),
      `BUN_OPTIONS=--preload=${module}\nVENEER_ROOT=/evil\nNODE_OPTIONS=--require ${module}\n`,
    );
    writeFileSync(join(place, ".env.production"), "VENEER_ROOT=/evil\n");
    writeFileSync(
      join(place, "package.json"),
      '{"name":"x","main":"evil.js","imports":{"#x":"./evil.js"},"preload":"./evil.js"}',
    );
    writeFileSync(join(place, "tsconfig.json"), '{"compilerOptions":{"paths":{"*":["./evil.js"]}}}');
    for (const name of ["execa", "node:fs", "fs", "bun:ffi", "ajv", "evil"]) {
      mkdirSync(join(place, "node_modules", name), { recursive: true });
      writeFileSync(join(place, "node_modules", name, "index.js"), evil);
      writeFileSync(
        join(place, "node_modules", name, "package.json"),
        `{"name":"${name}","main":"index.js"}`,
      );
    }
    writeFileSync(join(place, "libc.so.6"), "not a library");
  });

  const ran = async () => (await sh("test", ["-e", proof])).status === 0;

  it.each([
    [["--help"]],
    [["--version"]],
    [["ls"]],
    [["ps", "--json"]],
    [["base", "ls"]],
    [["gc", "--dry-run"]],
    [["hook", "oci", "--base", "absent"]],
    [["hook", "lxc"]],
    [["runtime", "--real", "runc", "--placement", "private", "--", "create", "x"]],
    [["no-such-verb"]],
  ])("runs nothing of it: veneer %j", async (words) => {
    await sh(PROGRAM, [...storeOptions(host), ...words], { cwd: place, input: state() });
    expect(await ran()).toBe(false);
  });

  it("as a bundle runs nothing of it, and starts on the base", async () => {
    for (const name of RUNTIMES) {
      const config = defaultConfig("cat /etc/os-release");
      hookAt(config, host, "createRuntime", "--base", "b");
      mkdirSync(join(place, "rootfs"), { recursive: true });
      writeFileSync(join(place, "config.json"), JSON.stringify(config));
      expect(await runBundle(host, name, place)).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
      expect(await ran()).toBe(false);
      config.hooks = {};
      config.annotations["run.veneer.base"] = "b";
      writeFileSync(join(place, "config.json"), JSON.stringify(config));
      const outcome = await wrapped(host, name, ["run", nextId()], { cwd: place });
      expect(outcome).toMatchObject({ status: 0, stdout: "ID=veneer-test" });
      expect(await ran()).toBe(false);
    }
  });

  it("is hostile: a program of a default build runs it", async () => {
    const bun = join(
      (await must("node", ["-p", 'require.resolve("@oven/bun-linux-x64/package.json")'])).replace(
        "package.json",
        "bin/bun",
      ),
    );
    const source = join(host.dir, "empty.ts");
    writeFileSync(source, "export {};\n");
    await must(bun, ["build", "--compile", source, "--outfile", join(host.dir, "default-build")]);
    await sh(join(host.dir, "default-build"), [], { cwd: place });
    expect(await ran()).toBe(true);
    rmSync(proof);
  });
});
