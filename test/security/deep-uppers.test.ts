/** An upper with more directories in one another than are read is refused, at once, on every way out. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { makeHost, must, sh } from "../helpers/host.ts";
import { plantVersions } from "../helpers/live.ts";

const host = makeHost("/srv");
const upper = join(host.root, "instances/deep/1/upper");

beforeAll(async () => {
  plantVersions(host);
  await host.ok("create", "deep", "b@1");
  await host.ok("mount", "deep", join(host.dir, "m"));
  const script = "import os,sys\nos.chdir(sys.argv[1])\nfor i in range(20000): os.mkdir('d'); os.chdir('d')";
  await must("python3", ["-c", script, join(host.dir, "m")]);
  await host.ok("umount", "deep");
  await host.ok("base", "import", "--in-place", "place", upper);
});
afterAll(async () => {
  // node:fs removes by path, which is too long
  await must("rm", ["-rf", upper]);
  await host.remove();
});

it.each([
  ["diff", "deep"],
  ["clone", "deep", "other"],
  ["commit", "deep", "made"],
  ["base", "import", "made", upper],
  ["base", "export", "place", join(host.dir, "place.tar")],
])("veneer %s %s", async (...words) => {
  const seconds = "20";
  const call = [join(host.bin, "veneer"), ...words.filter((word) => word !== undefined)];
  const done = await sh("timeout", ["-s", "KILL", seconds, ...call], { env: { PATH: host.path } });
  expect(done).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/more than 2000 directories deep \[TOO_DEEP\]$/),
  });
});
