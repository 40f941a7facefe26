/** Called without a capability that it needs, veneer does not go on with the rights that it wanted to give up. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { makeBase } from "../helpers/base.ts";
import { makeBundle, nextId, runBundle } from "../helpers/bundle.ts";
import { makeHost, sh } from "../helpers/host.ts";
import { mapIds, openTo, range } from "../helpers/userns.ts";

const host = makeHost("/srv");
afterAll(() => host.remove());

it("a container of another user's ids does not start on an overlay that is root's", async () => {
  makeBase(host, "deb");
  const bundle = makeBundle(join(host.dir, "bundle"), "echo started", (config) => {
    config.annotations["run.veneer.base"] = "deb";
    mapIds(config, range(1_400_000));
  });
  openTo(host, bundle, join(bundle, "rootfs"));
  // it keeps a user namespace with these maps for the next
  expect(await runBundle(host, "veneer-runc", bundle)).toMatchObject({ status: 0, stdout: "started" });
  for (const [capability, call] of [
    ["setuid", "setfsuid"],
    ["setgid", "setfsgid"],
  ]) {
    const without = [`--bounding-set=-${capability}`, `--inh-caps=-${capability}`, "--"];
    const program = [join(host.bin, "veneer-runc"), "--root", join(host.dir, "state")];
    const words = [...without, ...program, "run", "-b", bundle, nextId()];
    const outcome = await sh("setpriv", words, { env: { PATH: host.path } });
    expect(outcome).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining(`${call} `) });
    expect(outcome.stderr).toMatch(/^veneer: .*EPERM/m);
  }
  // nothing is left of what did not start
  await host.ok("gc");
  for (const place of [join(host.run, "records"), join(host.root, "ephemeral")]) {
    expect(existsSync(place) ? readdirSync(place) : []).toEqual([]);
  }
});
