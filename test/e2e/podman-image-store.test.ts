/** podman whose images lie in another store than its containers: who named an instance cannot be told there. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label, makeImage } from "../helpers/app-image.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { makePodman, type Podman, ways } from "../helpers/podman.ts";
import { makeTree } from "../helpers/tree.ts";

const host = makeHost();
const ELSEWHERE = "localhost/elsewhere:1";
const HOSTILE = "localhost/hostile:1";
let podman: Podman;
let images: Podman;
/** options of podman by which its images are in the other store */
let global: readonly string[] = [];

const annotations = (...all: string[]) => all.flatMap((one) => ["--annotation", `run.veneer.${one}`]);
const NAMED = annotations("base=debian", "instance=tenant", "upper=persistent");

async function load(name: string, reference: string, words: readonly string[] = []): Promise<void> {
  const tree = label(makeTree(join(host.dir, name)), "image");
  const loaded = await images.ok("load", "-q", "-i", await makeImage(host.dir, name, tree, words));
  const id = loaded.trim().replace(/^.*: /, "");
  await images.ok("tag", id, reference);
}

beforeAll(async () => {
  await host.ok("base", "import", "debian", label(makeTree(join(host.dir, "base")), "base"));
  await host.ok("create", "tenant", "debian");
  writeFileSync(join(host.root, "instances/tenant/1/upper/secret"), "TENANT-SECRET\n");
  podman = await makePodman(host, "containers");
  images = await makePodman(host, "images");
  await load("elsewhere", ELSEWHERE);
  const named = ["base=debian", "instance=tenant", "upper=persistent"];
  await load(
    "hostile",
    HOSTILE,
    named.flatMap((one) => ["--manifest.annotation", `run.veneer.${one}`]),
  );
});
afterAll(async () => {
  await podman?.removeAll();
  await host.remove();
});

/** By storage.conf, which all versions read; by the option that podman has since 4.8. */
describe.each(["additionalimagestores", "--imagestore"])("%s", (how) => {
  beforeAll(async () => {
    const graph = join(host.dir, "images/graph");
    if (how === "--imagestore") {
      global = ["--imagestore", graph];
      return;
    }
    const file = podman.env.CONTAINERS_STORAGE_CONF as string;
    writeFileSync(
      file,
      `${readFileSync(file, "utf8")}[storage.options]\nadditionalimagestores = ["${graph}"]\n`,
    );
  });
  afterAll(() => {
    global = [];
    const file = podman.env.CONTAINERS_STORAGE_CONF as string;
    writeFileSync(file, readFileSync(file, "utf8").replace(/\[storage.options\][\s\S]*/, ""));
  });

  describe.each(ways(host))("$name", ({ runtime, hook }) => {
    beforeAll(() => podman.useHook(hook));
    const run = (...words: string[]) =>
      podman.run([...global, "--runtime", runtime, "run", "--rm", "--network", "none", ...words]);
    const shown = ["cat", "/etc/which", "/secret"];

    it("a container starts on the base that it names", async (context) => {
      await skipWithout(how, context.skip);
      const outcome = await run(...annotations("base=debian"), ELSEWHERE, "cat", "/etc/which");
      expect(outcome).toMatchObject({ status: 0, stdout: "base" });
    });

    it("one that names an instance by annotation is refused, whoever named it", async (context) => {
      await skipWithout(how, context.skip);
      for (const words of [[...NAMED, ELSEWHERE], [HOSTILE], [...NAMED, HOSTILE]]) {
        const outcome = await run(...words, ...shown);
        expect(outcome.stdout).not.toContain("TENANT-SECRET");
        expect(outcome.status).not.toBe(0);
        // crun throws away what a hook says
        expect(outcome.stderr).toMatch(
          /cannot tell whether the image names the instance|error executing hook/,
        );
      }
    });

    it.skipIf(hook === "none")("one finds the instance that the hook's arguments name", async (context) => {
      await skipWithout(how, context.skip);
      const file = join(host.dir, "containers/hooks.d/veneer.json");
      const text = readFileSync(file, "utf8");
      const settings = JSON.parse(text);
      settings.hook.args.push("--instance", "tenant", "--persistent");
      writeFileSync(file, JSON.stringify(settings));
      try {
        const outcome = await run(...annotations("base=debian"), ELSEWHERE, ...shown);
        expect(outcome).toMatchObject({ status: 0, stdout: "base\nTENANT-SECRET" });
      } finally {
        writeFileSync(file, text);
      }
    });
  });
});

async function skipWithout(how: string, skip: (why: string) => void): Promise<void> {
  if (!how.startsWith("--")) return;
  const { stdout } = await sh("podman", ["--help"]);
  if (!stdout.includes(how)) skip(`this podman has no ${how}`);
}
