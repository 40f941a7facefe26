/**
 * An attacker who writes a bundle's config.json, or part of it: the container starts on the base that it names, with
 * its masks, or not at all; never on the image, never with its root on the host.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { plantBase } from "../helpers/base.ts";
import { type Config, detach, makeBundle, nextId, RUNTIMES } from "../helpers/bundle.ts";
import { makeHost, PROJECT, plainCrun, sh } from "../helpers/host.ts";
import { leftovers } from "../helpers/leftovers.ts";
import { mountTable } from "../helpers/mounts.ts";
import { makeTree } from "../helpers/tree.ts";
import { storeArguments, wrapped } from "../helpers/wrapper.ts";

const host = makeHost();
const crun = plainCrun(host);
let count = 0;

beforeAll(async () => {
  const tree = makeTree(join(host.dir, "base"));
  writeFileSync(join(tree, "etc/secret"), "SECRET\n", { mode: 0o600 });
  plantBase(host, "b", tree);
  await crun.begin();
});
afterAll(async () => {
  await crun.end();
  await host.remove();
});

/** Its rootfs is an image that runs, which must not be seen. */
function imageBundle(edit: (config: Config) => void = () => {}): string {
  const path = makeBundle(join(host.dir, `bundle${++count}`), "cat /etc/os-release /etc/secret", (config) => {
    config.annotations = { "run.veneer.base": "b", "run.veneer.mask": "/etc/secret" };
    edit(config);
  });
  rmSync(join(path, "rootfs"), { recursive: true });
  const image = makeTree(join(path, "rootfs"));
  writeFileSync(join(image, "etc/os-release"), "IMAGE\n");
  return path;
}

function rewrite(path: string, change: (text: string) => string | Buffer): void {
  const file = join(path, "config.json");
  writeFileSync(file, change(readFileSync(file, "utf8")));
}

const bytes = (text: string) => Buffer.from(text, "latin1");

const VARIANTS: [string, (text: string) => string | Buffer][] = [
  ["as it is", (text) => text],
  ["escapes in keys", (text) => text.replaceAll('"run.veneer.', '"run\\u002eveneer.')],
  ["escapes of letters", (text) => text.replaceAll('"run.veneer.', '"\\u0072un.veneer.')],
  ["an escape in the key annotations", (text) => text.replace('"annotations"', '"annotation\\u0073"')],
  ["a NUL behind", (text) => `${text}\0`],
  ["white space and a second document behind", (text) => `${text}\n\n{}`],
  ["Annotations", (text) => text.replace('"annotations"', '"Annotations"')],
  ["ANNOTATIONS with escapes", (text) => text.replace('"annotations"', '"\\u0041NNOTATIONS"')],
  ["a long s", (text) => text.replace('"annotations"', '"annotation\u017f"')],
  ["annotations again behind", (text) => text.replace(/\}\s*$/, ',"annotations":{"x":"y"}}')],
  ["annotations before", (text) => text.replace("{", '{"annotations":{"x":"y"},')],
  ["Annotations again behind", (text) => text.replace(/\}\s*$/, ',"Annotations":{"x":"y"}}')],
  ["null annotations again behind", (text) => text.replace(/\}\s*$/, ',"annotations":null}')],
  [
    "the base twice",
    (text) => text.replace('"run.veneer.base"', '"run.veneer.base":"none","run.veneer.base"'),
  ],
  [
    "the mask again, empty",
    (text) => text.replace('"run.veneer.mask"', '"run.veneer.mask":"","run.veneer.mas\\u006b"'),
  ],
  ["root again", (text) => text.replace(/\}\s*$/, ',"root":{"path":"rootfs"}}')],
  ["Root again", (text) => text.replace(/\}\s*$/, ',"Root":{"path":"rootfs"}}')],
  ["a NUL in a string", (text) => text.replace("{", '{"n":"\\u0000",')],
  ["a NUL in a key", (text) => text.replace('"annotations"', '"annotations\\u0000"')],
  ["bytes that are not UTF-8", (text) => bytes(text.replace("{", '{"x\xff\xfe":"y\x80",'))],
  ["a byte order mark", (text) => `\ufeff${text}`],
  ["half a surrogate pair in root.path", (text) => text.replace('"rootfs"', '"rootfs\\udc80"')],
  ["deep nesting before", (text) => text.replace("{", `{"x":${"[".repeat(5000)}${"]".repeat(5000)},`)],
  ["a comment", (text) => text.replace("{", "{ /* */")],
  ["a value that is cut", (text) => text.slice(0, -3)],
];

describe.each(RUNTIMES)("veneer-%s: config.json with", (name) => {
  it.each(VARIANTS)("%s", async (_what, change) => {
    const path = imageBundle();
    rewrite(path, change);
    const outcome = await wrapped(host, name, ["run", "-b", path, nextId()]);
    expect(outcome.stdout).not.toContain("IMAGE");
    expect(outcome.stdout).not.toContain("SECRET");
    if (outcome.stdout.includes("ID=veneer-test")) {
      expect(outcome.stderr).toMatch(/secret'?: No such file/);
    } else {
      expect(outcome).toMatchObject({ status: 1, stdout: "" });
      expect(outcome.stderr).toMatch(
        /^veneer: [^\n]*is not JSON(: (syntax error at character [0-9]+|stack overflow);| that all runtimes read alike)/,
      );
    }
    await expect.poll(() => leftovers(host)).toEqual([]);
  });

  it("is refused within a moment when it is large and hostile", async () => {
    const path = imageBundle();
    const keys = Array.from({ length: 100_000 }, (_, index) => `"k${index}":"\\\\\\"{["`).join(",");
    rewrite(path, (text) => text.replace("{", `{"x":{${keys},"k0":1},`));
    const begin = Date.now();
    const outcome = await wrapped(host, name, ["run", "-b", path, nextId()]);
    expect(outcome.stderr).toMatch(/"k0" twice/);
    expect(Date.now() - begin).toBeLessThan(20_000);
    rewrite(path, (text) => text.replace("{", `{"y":"${"x".repeat(9 * 1024 * 1024)}",`));
    expect((await wrapped(host, name, ["run", "-b", path, nextId()])).stderr).toMatch(/^veneer: .*limit/);
  });
});

describe.each(RUNTIMES)("veneer-%s: the root", (name) => {
  const SHARED: [string, (config: Config) => unknown][] = [
    ["a word shared in the environment", (config) => config.process.env.push("NOTE=shared", 'X="shared"')],
    ["shared in an annotation", ({ annotations }) => Object.assign(annotations, { note: "rshared" })],
    ["rootfsPropagation shared", ({ linux }) => Object.assign(linux, { rootfsPropagation: "shared" })],
  ];

  it.skipIf(name === "crun" && !crun.possible).each(SHARED)(
    "is never on the host with %s, and no set-user-ID file of it is reached there",
    async (_what, edit) => {
      const id = nextId();
      const path = imageBundle((config) => {
        edit(config);
        config.process.args = ["sh", "-c", "cp /bin/busybox /su && chmod 4755 /su && exec sleep 60"];
      });
      await sh("mount", ["--bind", host.dir, host.dir]);
      await sh("mount", ["--make-shared", host.dir]);
      const before = mountTable();
      const text = readFileSync(join(path, "config.json"), "utf8");
      const words = [...storeArguments(host), "--root", join(host.dir, "state")];
      try {
        const program = join(PROJECT, `dist/veneer-${name}`);
        expect(await detach(host, program, [...words, "run", "--detach", "-b", path, id])).toMatchObject({
          status: 0,
        });
        const made = async () => (await wrapped(host, name, ["exec", id, "test", "-u", "/su"])).status;
        await expect.poll(made).toBe(0);
        expect(mountTable()).toEqual(before);
        expect((await sh("find", [host.dir, "-xdev", "-name", "su", "-perm", "-4000"])).stdout).toMatch(
          /^\S*\/store\/ephemeral\/[^\n]*$/,
        );
        const other = [
          "--reuid",
          "12345",
          "--regid",
          "12345",
          "--clear-groups",
          "find",
          join(host.root, "ephemeral"),
        ];
        expect((await sh("setpriv", other)).stderr).toContain("Permission denied");
        expect(readFileSync(join(path, "config.json"), "utf8")).toBe(text);
      } finally {
        await wrapped(host, name, ["delete", "--force", id]);
        await sh("umount", ["-l", host.dir]);
      }
    },
  );
});

describe("an id whose state is being removed", () => {
  it.each(RUNTIMES)("is refused by veneer-%s in our words, not started on the image", async (name) => {
    const id = nextId();
    const state = join(host.dir, "state");
    mkdirSync(join(state, id), { recursive: true });
    const outcome = await wrapped(host, name, ["run", "-b", imageBundle(), id]);
    rmSync(join(state, id), { recursive: true });
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    expect(outcome.stderr).toMatch(new RegExp(`^veneer: container ${id} already exists in .*; hint: `));
    expect(leftovers(host)).toEqual([]);
  });

  it("is prepared where crun keeps its state elsewhere, by XDG_RUNTIME_DIR", async () => {
    const id = nextId();
    const elsewhere = join(host.dir, "runtime-dir");
    mkdirSync(elsewhere);
    mkdirSync(join("/run/crun", id), { recursive: true });
    try {
      const words = [...storeArguments(host), "run", "-b", imageBundle(), id];
      const env = { PATH: host.path, XDG_RUNTIME_DIR: elsewhere };
      const outcome = await sh(join(PROJECT, "dist/veneer-crun"), words, { env });
      expect(outcome.stdout).toBe("ID=veneer-test");
    } finally {
      rmSync(join("/run/crun", id), { recursive: true });
    }
  });
});
