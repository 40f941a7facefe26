/** An image's manifest may hold annotations, which podman gives to its containers: they choose nobody else's files. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label, makeImage } from "../helpers/app-image.ts";
import { type Config, hookAt, nextId, runtime } from "../helpers/bundle.ts";
import { makeHost, must } from "../helpers/host.ts";
import { IMAGE, makePodman, type Podman, ways } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const HOSTILE = "localhost/latest";
let podman: Podman;

beforeAll(async () => {
  await host.ok("base", "import", "debian", label(makeTree(join(host.dir, "base")), "base"));
  podman = await makePodman(host);
  const annotations = ["base=debian", "instance=tenant", "upper=persistent"];
  const words = annotations.flatMap((one) => ["--manifest.annotation", `run.veneer.${one}`]);
  const tree = label(makeTree(join(host.dir, "hostile")), "image");
  await podman.ok("load", "-q", "-i", await makeImage(host.dir, "hostile", tree, words));
  await host.ok("create", "tenant", "debian");
  writeFileSync(join(host.root, "instances/tenant/1/upper/secret"), "TENANT-SECRET\n");
});
afterAll(async () => {
  await podman?.removeAll();
  await host.remove();
});

describe.each(ways(host))("$name", ({ runtime, hook }) => {
  beforeAll(() => podman.useHook(hook));
  const run = (...words: string[]) =>
    podman.run(["--runtime", runtime, "run", "--network", "none", ...words, "cat", "/etc/which", "/secret"]);

  it.each(["--rm", "--read-only"])(
    "an image that names an instance does not start on it (%s)",
    async (how) => {
      const outcome = await run(how, HOSTILE);
      expect(outcome.stdout).not.toContain("TENANT-SECRET");
      expect(outcome.status).not.toBe(0);
      // crun throws away what a hook says
      expect(outcome.stderr).toMatch(/the image names the instance 'tenant'|error executing hook/);
    },
  );

  it("who starts a container of another image may name it", async () => {
    const named = ["base=debian", "instance=tenant", "upper=persistent"];
    const words = named.flatMap((one) => ["--annotation", `run.veneer.${one}`]);
    expect(await run("--rm", ...words, IMAGE)).toMatchObject({ status: 0, stdout: "base\nTENANT-SECRET" });
  });
});

/** umoci makes annotations of an image's labels. */
describe("a bundle of umoci", () => {
  const bundle = join(host.dir, "unpacked");
  const file = join(bundle, "config.json");
  let unpacked: Config;

  beforeAll(async () => {
    const labels = ["base=debian", "instance=tenant", "upper=persistent", "opaque=none"];
    const words = labels.flatMap((one) => ["--config.label", `run.veneer.${one}`]);
    await makeImage(host.dir, "labels", label(makeTree(join(host.dir, "labelled")), "image"), words);
    await must("umoci", ["unpack", "--image", join(host.dir, "labels-layout:latest"), bundle]);
    unpacked = JSON.parse(readFileSync(file, "utf8"));
    expect(unpacked.annotations).toMatchObject({ "run.veneer.instance": "tenant" });
  });

  async function start(program: string, edit: (config: Config) => void) {
    const config: Config = structuredClone(unpacked);
    config.process = { ...config.process, terminal: false, args: ["cat", "/etc/which", "/secret"] };
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "network");
    edit(config);
    writeFileSync(file, JSON.stringify(config));
    return runtime(host, program, ["run", "-b", bundle, nextId()]);
  }

  const hook = (config: Config) => {
    config.hooks ??= {};
    hookAt(config, host, "createRuntime");
  };

  it.each([
    ["the wrapping runtime", "veneer-runc", () => {}],
    ["the hook", "runc", hook],
  ] as const)("chooses nothing by labels of its image: %s", async (_, program, edit) => {
    const outcome = await start(program, edit);
    expect(outcome.stdout).toBe("");
    expect(outcome.status).not.toBe(0);
    expect(outcome.stderr).toMatch(/may be labels of its image/);
  });

  it("has annotations of its owner when the file of umoci is gone", async () => {
    rmSync(join(bundle, "umoci.json"));
    const own = (config: Config) => {
      config.annotations = { "run.veneer.base": "debian" };
    };
    expect((await start("veneer-runc", own)).stdout).toBe("base");
  });
});
