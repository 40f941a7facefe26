/** An image's manifest may hold annotations, which podman gives to its containers: they choose nobody else's files. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { label, makeImage } from "../helpers/app-image.ts";
import { makeHost } from "../helpers/host.ts";
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
